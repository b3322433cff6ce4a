printf "name: \"\\e[2Jx\"\n" >s.yaml
drmad tune s.yaml 2>said || echo "status $?"
tr -d "\n\t -~" <said | wc -c
