drmad completion bash >c
# shellcheck disable=SC1091
source ./c
COMP_WORDS=(drmad tune --dr) COMP_CWORD=2
_drmad
echo "${COMPREPLY[@]}"
COMP_WORDS=(drmad ver) COMP_CWORD=1
_drmad
echo "${COMPREPLY[@]}"
COMP_WORDS=(drmad data g) COMP_CWORD=2
_drmad
echo "${COMPREPLY[@]}"
COMP_WORDS=(drmad data get --q) COMP_CWORD=3
_drmad
echo "${COMPREPLY[@]}"
