# libdrmad, shared and static, from the same objects; and what a user of the installed library
# needs to find it.
set(DRMAD_SOVERSION 0)

# Only drmad_* leaves the shared library.
add_library(drmad_shared SHARED)
link_rooms(drmad_shared ${all_rooms})
set_target_properties(drmad_shared PROPERTIES OUTPUT_NAME drmad LINKER_LANGUAGE C
                      VERSION ${PROJECT_VERSION} SOVERSION ${DRMAD_SOVERSION}
                      LINK_DEPENDS ${CMAKE_SOURCE_DIR}/cmake/drmad.map)
target_link_options(drmad_shared PRIVATE -Wl,--version-script=${CMAKE_SOURCE_DIR}/cmake/drmad.map
                    -Wl,-z,relro,-z,now)
if(NOT DRMAD_SANITIZE)
  # (a sanitizer's runtime comes with the executable)
  target_link_options(drmad_shared PRIVATE -Wl,--no-undefined)
endif()
if(DRMAD_OLD_GLIBC)
  target_sources(drmad_shared PRIVATE cmake/old_glibc.c)
  target_link_options(drmad_shared PRIVATE -Wl,--no-as-needed -l:libpthread.so.0
                      -l:libdl.so.2)
endif()
target_include_directories(drmad_shared INTERFACE ${CMAKE_SOURCE_DIR}/include)

# Only drmad_* leaves the static one either: its objects are joined into one, whose hidden names
# become local.
set(objects "")
foreach(r ${all_rooms})
  get_property(isas GLOBAL PROPERTY room_${r}_isas)
  foreach(t room_${r} ${isas})
    if(TARGET ${t})
      list(APPEND objects $<TARGET_OBJECTS:${t}>)
    endif()
  endforeach()
endforeach()
set(static_lib ${CMAKE_BINARY_DIR}/libdrmad.a)
add_custom_command(OUTPUT ${static_lib} DEPENDS ${objects} COMMAND_EXPAND_LISTS VERBATIM
  COMMAND ${CMAKE_LINKER} -r -o drmad_all.o ${objects}
  COMMAND ${CMAKE_OBJCOPY} --localize-hidden drmad_all.o
  COMMAND ${CMAKE_COMMAND} -E rm -f ${static_lib}
  COMMAND ${CMAKE_AR} rcs ${static_lib} drmad_all.o)
add_custom_target(drmad_static ALL DEPENDS ${static_lib})

# Installed: headers, both libraries, the command, drmad.pc, drmadConfig.cmake.
# The installed tree may be moved as a whole.
file(RELATIVE_PATH DRMAD_PC_UP /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
set(DRMAD_PC_FETCH "")
if(DRMAD_FETCH)
  set(DRMAD_PC_FETCH " -lcurl -lcrypto")
endif()
configure_file(cmake/drmad.pc.in ${CMAKE_BINARY_DIR}/drmad.pc @ONLY)
configure_file(cmake/drmadConfig.cmake.in ${CMAKE_BINARY_DIR}/drmadConfig.cmake @ONLY)
include(CMakePackageConfigHelpers)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/drmadConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(TARGETS drmad_shared LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${static_lib} DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/drmad DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES ${CMAKE_BINARY_DIR}/drmad.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES ${CMAKE_BINARY_DIR}/drmadConfig.cmake ${CMAKE_BINARY_DIR}/drmadConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/drmad)

# Installed by python/pyproject.toml alone: the package's own library and command, without
# versions in file names, for a wheel holds no links.
if(SKBUILD)
  set_target_properties(drmad_shared PROPERTIES NO_SONAME ON VERSION "" SOVERSION "")
  install(TARGETS drmad_shared LIBRARY DESTINATION drmad/_native COMPONENT wheel)
  # LAPACK and NLopt, from tools/wheel-libs
  install(DIRECTORY ${CMAKE_SOURCE_DIR}/build/wheel-libs/ DESTINATION drmad/_native
          COMPONENT wheel USE_SOURCE_PERMISSIONS)
endif()
