# What is built from the rooms: the library, the command, the tests, the benchmarks, the fuzzers.
get_property(all_rooms GLOBAL PROPERTY rooms)

# The commit that is built, in one header that only base/version.c sees.
set(git_id_dir ${CMAKE_BINARY_DIR}/generated)
add_custom_target(git_id BYPRODUCTS ${git_id_dir}/git_id.h
  COMMAND ${CMAKE_COMMAND} -DSOURCE_DIR=${CMAKE_SOURCE_DIR} -DOUT=${git_id_dir}/git_id.h
          -P ${CMAKE_SOURCE_DIR}/cmake/git_id.cmake)
target_include_directories(room_base PRIVATE ${git_id_dir})
add_dependencies(room_base git_id)

# The store's schema, one SQL file a step, as a table in the library.
file(GLOB schema_files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/store/schema/*.sql)
add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/generated/schema_steps.c VERBATIM
  DEPENDS ${schema_files} ${CMAKE_SOURCE_DIR}/cmake/embed_sql.cmake
  COMMAND ${CMAKE_COMMAND} -DFOLDER=${CMAKE_SOURCE_DIR}/src/store/schema
          -DOUT=${CMAKE_BINARY_DIR}/generated/schema_steps.c
          -P ${CMAKE_SOURCE_DIR}/cmake/embed_sql.cmake)
target_sources(room_store PRIVATE ${CMAKE_BINARY_DIR}/generated/schema_steps.c)

include(cmake/library.cmake)
include(cmake/cuda.cmake)

# cli/*.c is the command. It sees the public headers and nothing else.
file(GLOB cli_sources CONFIGURE_DEPENDS cli/*.c)
if(cli_sources)
  add_executable(drmad ${cli_sources})
  target_link_libraries(drmad PRIVATE drmad_shared m)
  set_target_properties(drmad PROPERTIES INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
  install(TARGETS drmad RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  if(DRMAD_OLD_GLIBC)
    target_sources(drmad PRIVATE cmake/old_glibc.c)
    target_compile_definitions(drmad PRIVATE OLD_GLIBC_MAIN)
  endif()
  if(SKBUILD)
    set_target_properties(drmad PROPERTIES INSTALL_RPATH "$ORIGIN")
    install(TARGETS drmad RUNTIME DESTINATION drmad/_native COMPONENT wheel)
  endif()
endif()

# The front for LuaJIT, where Debian's looks for modules.
install(DIRECTORY lua/ DESTINATION ${CMAKE_INSTALL_DATADIR}/lua/5.1 PATTERN examples EXCLUDE)

# tests/ROOM/*.c become one binary test_ROOM, linked with that room and those above it.
add_library(test_runner OBJECT EXCLUDE_FROM_ALL tests/test.c)
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
      # the naive evaluator: the oracle of everything that computes
      target_sources(test_${r} PRIVATE tests/eval.c)
    endif()
    if("exec" IN_LIST above)
      target_sources(test_${r} PRIVATE $<TARGET_OBJECTS:gpu_host>)
    endif()
    target_link_libraries(test_${r} PRIVATE Threads::Threads m)
    add_dependencies(tests test_${r})
  endif()
endforeach()

if(TARGET test_store) # the library opens them when they are needed; the tests are clients too
  target_link_libraries(test_store PRIVATE PkgConfig::LIBPQ PkgConfig::SQLITE)
endif()

if(TARGET test_data) # likewise; the tests make pictures and archives
  target_link_libraries(test_data PRIVATE PkgConfig::JPEG PkgConfig::SPNG PkgConfig::ARCHIVE)
endif()

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
if(TARGET bench_gegp)
  target_sources(bench_gegp PRIVATE bench/bo/problems.c bench/bo/functions.c
                 bench/bo/mnist_task.c)
endif()
if(TARGET bench_store)
  target_link_libraries(bench_store PRIVATE PkgConfig::LIBPQ)
endif()

# What tools/gpu-check runs besides the tests.
add_executable(gpu_lab EXCLUDE_FROM_ALL bench/gpu/gpu_lab.c)
link_rooms(gpu_lab ${all_rooms})
target_link_libraries(gpu_lab PRIVATE Threads::Threads m)
add_dependencies(bench gpu_lab)

add_subdirectory(bench/bo)
if(EXISTS ${CMAKE_SOURCE_DIR}/tests/optuna/CMakeLists.txt)
  add_subdirectory(tests/optuna)
endif()
if(EXISTS ${CMAKE_SOURCE_DIR}/tests/torch/CMakeLists.txt)
  add_subdirectory(tests/torch)
endif()
if(EXISTS ${CMAKE_SOURCE_DIR}/tests/fuzz/CMakeLists.txt)
  add_subdirectory(tests/fuzz)
endif()
