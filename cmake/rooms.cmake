# room(NAME [ROOMS above...] [LIBS ...]): src/NAME/*.c as an object library room_NAME that sees
# include/ and src/, with everything that the rooms above need. room_objects(OUT ROOM...) lists a
# room and all above it, for linking a test.
function(room name)
  cmake_parse_arguments(R "" "" "ROOMS;LIBS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.c)
  list(FILTER sources EXCLUDE REGEX "_isa\\.c$") # compiled once an instruction set, below
  # Of libdrmad_cuda.so and the host driver: cmake/cuda.cmake.
  list(FILTER sources EXCLUDE REGEX
       "/((cuda|host)_driver|(cuda|gpu)_walk|cuda_(record|library|matmul|convolution))\\.c$")
  if(DRMAD_FETCH)
    list(FILTER sources EXCLUDE REGEX "/no_fetch\\.c$")
  else()
    list(FILTER sources EXCLUDE REGEX "/fetch\\.c$")
  endif()
  if(sources)
    add_library(room_${name} OBJECT ${sources})
    target_include_directories(room_${name} PUBLIC ${CMAKE_SOURCE_DIR}/include
                             ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(room_${name} PUBLIC ${R_LIBS})
    isa_objects(${name})
  endif()
  set_property(GLOBAL PROPERTY room_${name}_above "${R_ROOMS}")
  set_property(GLOBAL PROPERTY room_${name}_libs "${R_LIBS}")
  set_property(GLOBAL APPEND PROPERTY rooms ${name})
endfunction()

# A source src/ROOM/.../X_isa.c is compiled once for each instruction set, with ISA_SUFFIX naming
# it: one text, several functions. The flags are fixed here and nowhere else.
function(isa_objects name)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*_isa.c)
  if(NOT sources)
    return()
  endif()
  set(flags_portable "")
  set(flags_avx2 -mavx2 -mfma -mf16c)
  set(flags_avx512 -mavx512f -mavx512dq -mavx512bw -mavx512vl -mfma -mprefer-vector-width=512)
  foreach(isa portable avx2 avx512)
    add_library(room_${name}_${isa} OBJECT ${sources})
    target_include_directories(room_${name}_${isa} PUBLIC ${CMAKE_SOURCE_DIR}/include
                             ${CMAKE_SOURCE_DIR}/src)
    target_compile_options(room_${name}_${isa} PRIVATE -O3 ${flags_${isa}}
                           -DISA_SUFFIX=${isa} -DISA_IS_${isa})
    set_property(GLOBAL APPEND PROPERTY room_${name}_isas room_${name}_${isa})
  endforeach()
endfunction()

function(rooms_above out)
  set(todo ${ARGN})
  set(found "")
  while(todo)
    list(POP_FRONT todo r)
    if(NOT r IN_LIST found)
      list(APPEND found ${r})
      get_property(above GLOBAL PROPERTY room_${r}_above)
      list(APPEND todo ${above})
    endif()
  endwhile()
  set(${out} ${found} PARENT_SCOPE)
endfunction()

# Links `target` with the objects and libraries of the rooms named and all above them.
function(link_rooms target)
  rooms_above(all ${ARGN})
  foreach(r ${all})
    get_property(libs GLOBAL PROPERTY room_${r}_libs)
    target_link_libraries(${target} PRIVATE ${libs})
    if(TARGET room_${r})
      target_sources(${target} PRIVATE $<TARGET_OBJECTS:room_${r}>)
    endif()
    get_property(isas GLOBAL PROPERTY room_${r}_isas)
    foreach(i ${isas})
      target_sources(${target} PRIVATE $<TARGET_OBJECTS:${i}>)
    endforeach()
  endforeach()
  target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR}/src)
endfunction()
