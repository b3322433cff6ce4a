# The two drivers of src/exec/cuda as loadable libraries: drmad_cuda, where nvcc is, and
# drmad_cuda_host, the same kernels on the processor, for tests.
#
# -fmad=false: as -ffp-contract=off for the rest; products say where they fuse (body.h). Division
# and square root are IEEE's, small numbers are kept: so a GPU's F64 is the CPU's to 1e-12, its F32
# to 1e-5, and what has neither a product nor a sum of many is mostly the same bits.
set(DRMAD_CUDA AUTO CACHE STRING "libdrmad_cuda.so: ON, OFF or AUTO (where nvcc is found)")
set(cuda_precision -fmad=false -prec-div=true -prec-sqrt=true -ftz=false)
# sm_80: A100; sm_90: H100, H200; the driver compiles compute_90 for what comes after.
set(cuda_code -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90,code=[sm_90,compute_90])

# Its folder goes to *out; empty: not found. (nvcc may be a script somewhere else: it is asked.)
function(find_cuda out)
  find_program(DRMAD_NVCC nvcc HINTS $ENV{CUDA_HOME}/bin ${CMAKE_SOURCE_DIR}/build/cuda-env/bin
               /usr/local/cuda/bin)
  set(${out} "" PARENT_SCOPE)
  if(NOT DRMAD_NVCC)
    return()
  endif()
  execute_process(COMMAND ${DRMAD_NVCC} --dryrun -x cu -c /dev/null -o /dev/null
                  OUTPUT_VARIABLE said ERROR_VARIABLE said)
  if(said MATCHES "#\\$ TOP=([^\n]+)")
    get_filename_component(top ${CMAKE_MATCH_1} REALPATH)
    set(${out} ${top} PARENT_SCOPE)
  endif()
endfunction()

# libdrmad_NAME.so, opened by src/exec/cuda/cuda_load.c alone: one symbol leaves it.
function(cuda_library name)
  add_library(${name} SHARED ${ARGN})
  link_rooms(${name} base)
  target_link_options(${name} PRIVATE -Wl,--version-script=${CMAKE_SOURCE_DIR}/cmake/cuda.map
                      -Wl,-z,relro,-z,now)
  set_target_properties(${name} PROPERTIES LINKER_LANGUAGE C NO_SONAME ON
                        LINK_DEPENDS ${CMAKE_SOURCE_DIR}/cmake/cuda.map)
endfunction()

add_library(gpu_host OBJECT EXCLUDE_FROM_ALL src/exec/cuda/driver/host_driver.c
            src/exec/cuda/driver/host_travel.c src/exec/cuda/driver/gpu_walk.c)
target_include_directories(gpu_host PRIVATE include src)
cuda_library(drmad_cuda_host tests/cuda/host_library.c $<TARGET_OBJECTS:gpu_host>)
cuda_library(drmad_cuda_other tests/cuda/host_library.c)
target_compile_definitions(drmad_cuda_other PRIVATE OTHER_BUILD)
set_target_properties(drmad_cuda_host drmad_cuda_other PROPERTIES EXCLUDE_FROM_ALL ON)
add_custom_target(cuda_tests)
add_dependencies(cuda_tests drmad_cuda_host drmad_cuda_other)

set(cuda_top "")
if(NOT DRMAD_CUDA STREQUAL "OFF")
  find_cuda(cuda_top)
endif()
if(DRMAD_CUDA STREQUAL "ON" AND NOT cuda_top)
  message(FATAL_ERROR "DRMAD_CUDA=ON: nvcc was not found; put it on the PATH or set CUDA_HOME, "
          "or take -DDRMAD_CUDA=OFF")
endif()
if(cuda_top)
  message(STATUS "libdrmad_cuda.so: with ${cuda_top}")
  foreach(name kernels walk)
    set(object ${CMAKE_BINARY_DIR}/cuda_${name}.o)
    set(source ${CMAKE_SOURCE_DIR}/src/exec/cuda/kernel/${name}.cu)
    add_custom_command(OUTPUT ${object} DEPENDS ${source} DEPFILE ${object}.d VERBATIM
      COMMAND ${DRMAD_NVCC} -std=c++17 -O3 ${cuda_precision} ${cuda_code} --threads 2
              -Werror all-warnings -I${CMAKE_SOURCE_DIR}/src
              -Xcompiler -fPIC,-fvisibility=hidden,-fno-exceptions,-fno-threadsafe-statics
              -Xcompiler -Wall,-Wextra,-Werror
              -MD -MF ${object}.d -c ${source} -o ${object})
    list(APPEND cuda_objects ${object})
  endforeach()
  file(GLOB cuda_sources CONFIGURE_DEPENDS src/exec/cuda/driver/cuda_*.c)
  cuda_library(drmad_cuda ${cuda_sources} src/exec/cuda/driver/gpu_walk.c ${cuda_objects})
  target_include_directories(drmad_cuda SYSTEM PRIVATE ${cuda_top}/include)
  find_library(DRMAD_CUDART cudart_static REQUIRED NO_DEFAULT_PATH
               PATHS ${cuda_top}/lib64 ${cuda_top}/lib)
  target_link_libraries(drmad_cuda PRIVATE ${DRMAD_CUDART} rt)
  target_link_options(drmad_cuda PRIVATE -Wl,--no-undefined)
  install(TARGETS drmad_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  # The driver over a fake runtime, for its refusals and failures.
  add_executable(test_cuda_driver EXCLUDE_FROM_ALL tests/cuda/test_driver.c
                 tests/cuda/test_library.c tests/cuda/fake_cudart.c ${cuda_sources}
                 $<TARGET_OBJECTS:gpu_host> $<TARGET_OBJECTS:test_runner>)
  link_rooms(test_cuda_driver exec)
  target_include_directories(test_cuda_driver PRIVATE tests)
  target_include_directories(test_cuda_driver SYSTEM PRIVATE ${cuda_top}/include)
  target_link_libraries(test_cuda_driver PRIVATE m)
  # With fake libraries, which call the fake runtime.
  set(fakes ${CMAKE_BINARY_DIR}/fake_libraries)
  foreach(fake cublaslt:libcublasLt.so.13 cudnn:libcudnn.so.9)
    string(REPLACE ":" ";" fake ${fake})
    list(GET fake 0 name)
    list(GET fake 1 file)
    add_library(fake_${name} SHARED EXCLUDE_FROM_ALL tests/cuda/fake_${name}.c)
    target_include_directories(fake_${name} PRIVATE src)
    target_include_directories(fake_${name} SYSTEM PRIVATE ${cuda_top}/include)
    set_target_properties(fake_${name} PROPERTIES PREFIX "" SUFFIX "" OUTPUT_NAME ${file}
                          LIBRARY_OUTPUT_DIRECTORY ${fakes} C_VISIBILITY_PRESET default)
    add_dependencies(test_cuda_driver fake_${name})
  endforeach()
  target_compile_definitions(test_cuda_driver PRIVATE FAKE_LIBRARIES="${fakes}")
  set_target_properties(test_cuda_driver PROPERTIES ENABLE_EXPORTS ON C_VISIBILITY_PRESET default)
  add_dependencies(cuda_tests test_cuda_driver)
  # What we declare of the libraries beside their own headers, where those are: in CUDA's folder,
  # or DRMAD_LIBRARY_HEADERS, a list of folders. Compiling it is the test.
  find_path(DRMAD_CUBLASLT cublasLt.h HINTS ${DRMAD_LIBRARY_HEADERS} ${cuda_top}/include)
  find_path(DRMAD_CUDNN cudnn.h HINTS ${DRMAD_LIBRARY_HEADERS} ${cuda_top}/include)
  if(DRMAD_CUBLASLT AND DRMAD_CUDNN)
    add_library(library_headers OBJECT EXCLUDE_FROM_ALL tests/cuda/library_headers.c
                src/exec/cuda/driver/cuda_matmul.c src/exec/cuda/driver/cuda_convolution.c)
    target_compile_definitions(library_headers PRIVATE DRMAD_LIBRARY_HEADERS)
    target_include_directories(library_headers PRIVATE include src)
    target_include_directories(library_headers SYSTEM PRIVATE ${cuda_top}/include
                               ${DRMAD_CUBLASLT} ${DRMAD_CUDNN})
    add_dependencies(cuda_tests library_headers)
  endif()
endif()
