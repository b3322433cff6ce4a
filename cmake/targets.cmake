# What is built from the rooms: the library, the command, the tests, the benchmarks.
get_property(all_rooms GLOBAL PROPERTY rooms)

# tests/ROOM/*.c become one binary test_ROOM, linked with that room and those above it.
add_library(test_runner OBJECT tests/test.c)
target_include_directories(test_runner PUBLIC include src tests)
add_custom_target(tests)
foreach(r ${all_rooms})
  file(GLOB sources CONFIGURE_DEPENDS tests/${r}/*.c)
  if(sources)
    add_executable(test_${r} EXCLUDE_FROM_ALL ${sources} $<TARGET_OBJECTS:test_runner>)
    link_rooms(test_${r} ${r})
    target_include_directories(test_${r} PRIVATE tests)
    rooms_above(above ${r})
    if("ops" IN_LIST above AND EXISTS ${CMAKE_SOURCE_DIR}/tests/eval.c)
      target_sources(test_${r} PRIVATE tests/eval.c) # the naive evaluator: the oracle of everything that computes
    endif()
    target_link_libraries(test_${r} PRIVATE Threads::Threads m)
    add_dependencies(tests test_${r})
  endif()
endforeach()

# bench/X.c becomes bench_X.
file(GLOB bench_sources CONFIGURE_DEPENDS bench/bench_*.c)
add_custom_target(bench)
foreach(source ${bench_sources})
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} EXCLUDE_FROM_ALL ${source})
  link_rooms(${name} ${all_rooms})
  target_link_libraries(${name} PRIVATE Threads::Threads m)
  add_dependencies(bench ${name})
endforeach()
