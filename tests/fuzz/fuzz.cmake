# The fuzz programs: libFuzzer's with HYPLINK_FUZZ, else with the corpus and mutations of it, as checks.
set(except "")
if(NOT HYPLINK_GLES_INCLUDE)
  list(APPEND except vogl_gles2)
endif()
if(HYPLINK_APP_SIDE)
  list(APPEND except app_messages descriptors events hypercalls info journal pipes ports rpq_admin) # a guest kernel's, a hypervisor's
endif()
hyplink_programs(fuzzers tests/fuzz fuzz ${except})
file(GLOB_RECURSE HYPLINK_IDL_DEPENDS CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/src/python/hyplink/idl/*.py")
hyplink_add_idl(fuzz_idl_dispatch FILES src/python/hyplink/idl/examples/gles2.vidl)
hyplink_add_idl(fuzz_idl_generated
  FILES tests/idl/data/rich.vidl tests/idl/data/glslice.vidl tests/idl/data/camera.vidl tests/idl/data/pixels.vidl
  LANGUAGES cpp mock fuzz)
target_compile_definitions(fuzz_idl_generated PRIVATE HYPLINK_FUZZ_WITHOUT_ENTRY)

# Against the generated C, and vOGL's requests in pieces on top of it.
if(TARGET fuzz_vogl_gles2)
  enable_language(C)
  hyplink_add_idl(fuzz_vogl_gles2 FILES src/python/hyplink/vogl/gles2.vidl LANGUAGES c cpp mock fuzz)
  get_target_property(sources fuzz_vogl_gles2 SOURCES)
  list(FILTER sources EXCLUDE REGEX "_client\\.c$") # which needs the libraries' own part
  set_target_properties(fuzz_vogl_gles2 PROPERTIES SOURCES "${sources}")
  target_sources(fuzz_vogl_gles2 PRIVATE "${PROJECT_SOURCE_DIR}/src/cpp/hyplink/vogl/server/pieces.cpp")
  target_include_directories(fuzz_vogl_gles2 PRIVATE "${HYPLINK_GLES_INCLUDE}")
  target_compile_definitions(fuzz_vogl_gles2 PRIVATE HYPLINK_FUZZ_WITHOUT_ENTRY)
endif()

if(NOT HYPLINK_FUZZ) # a check of seconds: compiling fast matters more
  foreach(program IN ITEMS fuzz_idl_generated fuzz_vogl_gles2)
    if(TARGET ${program})
      get_target_property(sources ${program} SOURCES)
      list(FILTER sources INCLUDE REGEX "_fuzz\\.cpp$")
      set_source_files_properties(${sources} PROPERTIES COMPILE_OPTIONS -O0)
    endif()
  endforeach()
endif()
if(HYPLINK_FUZZ)
  get_target_property(programs fuzzers MANUALLY_ADDED_DEPENDENCIES)
  foreach(program IN LISTS programs)
    target_compile_definitions(${program} PRIVATE HYPLINK_LIBFUZZER)
    target_link_options(${program} PRIVATE -fsanitize=fuzzer)
  endforeach()
endif()
if(HYPLINK_CHECKS AND NOT HYPLINK_APP_SIDE)
  add_dependencies(checks fuzzers)
endif()
