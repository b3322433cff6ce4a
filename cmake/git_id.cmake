# Writes OUT with the commit of SOURCE_DIR; only touched when it changed, so that nothing is
# rebuilt for nothing.
execute_process(COMMAND git describe --always --dirty --abbrev=12 --exclude=*
                WORKING_DIRECTORY ${SOURCE_DIR}
                OUTPUT_VARIABLE id OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE rc)
if(NOT rc EQUAL 0)
  set(id unknown)
endif()
file(CONFIGURE OUTPUT ${OUT} CONTENT "#define DRMAD_GIT_ID \"${id}\"\n")
