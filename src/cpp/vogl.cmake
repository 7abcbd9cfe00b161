# vOGL: <package>/lib/vogl/{libEGL.so.1,libGLESv2.so.2} for the client VM and <package>/bin/hyplink-vogl for the
# server VM, over C that is generated here from src/python/hyplink/vogl/*.vidl. Only where the headers of EGL and
# OpenGL ES are (Debian: libegl-dev libgles-dev); the real libraries are opened at run time.
find_path(HYPLINK_GLES_INCLUDE GLES2/gl2.h)
find_path(HYPLINK_EGL_INCLUDE EGL/egl.h)
if(NOT HYPLINK_GLES_INCLUDE OR NOT HYPLINK_EGL_INCLUDE)
  message(STATUS "vOGL is left out: no headers of EGL and OpenGL ES")
  return()
endif()

enable_language(C)
find_package(Python3 REQUIRED COMPONENTS Interpreter)
set(HYPLINK_IDL_COMMAND "${CMAKE_COMMAND}" -E env "PYTHONPATH=${PROJECT_SOURCE_DIR}/src/python"
  "${Python3_EXECUTABLE}" -S -m hyplink.idl)
file(GLOB_RECURSE HYPLINK_IDL_DEPENDS CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/src/python/hyplink/idl/*.py")
include("${PROJECT_SOURCE_DIR}/src/python/hyplink/idl/cmake/hyplink_idl.cmake")

# The generated code once, for both libraries and the server; each links the half it needs.
set(vidl "${PROJECT_SOURCE_DIR}/src/python/hyplink/vogl")
add_library(hyplink_vogl_stubs STATIC)
hyplink_add_idl(hyplink_vogl_stubs LANGUAGES c FILES "${vidl}/gles2.vidl" "${vidl}/vegl.vidl")
target_link_libraries(hyplink_vogl_stubs PUBLIC hyplink_c)
target_include_directories(hyplink_vogl_stubs PUBLIC "${CMAKE_CURRENT_SOURCE_DIR}"
  "${HYPLINK_GLES_INCLUDE}" "${HYPLINK_EGL_INCLUDE}")
target_compile_options(hyplink_vogl_stubs PRIVATE -Wall -Wextra $<$<BOOL:${HYPLINK_WERROR}>:-Werror>)

set(client "${CMAKE_CURRENT_SOURCE_DIR}/hyplink/vogl/client")
set(server "${CMAKE_CURRENT_SOURCE_DIR}/hyplink/vogl/server")
add_library(hyplink_gles SHARED "${client}/carrier.cpp" "${client}/gl_context.cpp" "${client}/lent.cpp")
add_library(hyplink_egl SHARED "${client}/connection.cpp" "${client}/egl.cpp")
target_link_libraries(hyplink_gles PRIVATE hyplink_vogl_stubs)
target_link_libraries(hyplink_egl PRIVATE hyplink_gles hyplink_vogl_stubs)
foreach(library gles egl)
  hyplink_own(hyplink_${library})
  # The C names of the originals and what the two share; nothing else.
  target_link_options(hyplink_${library} PRIVATE "LINKER:--version-script,${client}/${library}.map")
  set_target_properties(hyplink_${library} PROPERTIES
    LIBRARY_OUTPUT_DIRECTORY "${HYPLINK_SITE}/lib/vogl"
    BUILD_RPATH_USE_ORIGIN ON INSTALL_RPATH "$ORIGIN;$ORIGIN/.." BUILD_WITH_INSTALL_RPATH ON)
  install(TARGETS hyplink_${library} LIBRARY DESTINATION hyplink/lib/vogl)
endforeach()
set_target_properties(hyplink_gles PROPERTIES PREFIX "" OUTPUT_NAME "libGLESv2" SUFFIX ".so.2")
set_target_properties(hyplink_egl PROPERTIES PREFIX "" OUTPUT_NAME "libEGL" SUFFIX ".so.1")

file(GLOB server_sources CONFIGURE_DEPENDS "${server}/*.cpp")
add_executable(hyplink-vogl hyplink/vogl/server_main.cpp ${server_sources})
hyplink_own(hyplink-vogl)
target_link_libraries(hyplink-vogl PRIVATE hyplink_vogl_stubs Threads::Threads ${CMAKE_DL_LIBS})
set_target_properties(hyplink-vogl PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${HYPLINK_SITE}/bin"
  INSTALL_RPATH "$ORIGIN/../lib" BUILD_WITH_INSTALL_RPATH ON)
install(TARGETS hyplink-vogl RUNTIME DESTINATION hyplink/bin)
