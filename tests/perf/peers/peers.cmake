# Others to compare with, as far as they are installed. Their code is made and compiled without our warnings.
find_program(HYPLINK_FLATC flatc)
find_path(HYPLINK_FLATBUFFERS_INCLUDE flatbuffers/flatbuffers.h)
if(HYPLINK_FLATC AND HYPLINK_FLATBUFFERS_INCLUDE)
  set(out "${CMAKE_CURRENT_BINARY_DIR}/peers")
  add_custom_command(
    OUTPUT "${out}/marshal_flat_generated.h"
    COMMAND "${HYPLINK_FLATC}" --cpp -o "${out}" "${CMAKE_CURRENT_LIST_DIR}/marshal_flat.fbs"
    DEPENDS "${CMAKE_CURRENT_LIST_DIR}/marshal_flat.fbs" VERBATIM)
  target_sources(perf_marshal PRIVATE "${out}/marshal_flat_generated.h")
  target_include_directories(perf_marshal SYSTEM PRIVATE "${out}" "${HYPLINK_FLATBUFFERS_INCLUDE}")
  target_compile_definitions(perf_marshal PRIVATE HYPLINK_PEER_FLATBUFFERS)
endif()
find_program(HYPLINK_PROTOC protoc)
find_path(HYPLINK_PROTOBUF_INCLUDE google/protobuf/message_lite.h)
find_library(HYPLINK_PROTOBUF protobuf-lite)
if(HYPLINK_PROTOC AND HYPLINK_PROTOBUF_INCLUDE AND HYPLINK_PROTOBUF)
  set(out "${CMAKE_CURRENT_BINARY_DIR}/peers")
  file(MAKE_DIRECTORY "${out}")
  add_custom_command(
    OUTPUT "${out}/marshal_proto.pb.cc" "${out}/marshal_proto.pb.h"
    COMMAND "${HYPLINK_PROTOC}" "--cpp_out=${out}" "--proto_path=${CMAKE_CURRENT_LIST_DIR}" marshal_proto.proto
    DEPENDS "${CMAKE_CURRENT_LIST_DIR}/marshal_proto.proto" VERBATIM)
  target_sources(perf_marshal PRIVATE "${out}/marshal_proto.pb.cc")
  set_source_files_properties("${out}/marshal_proto.pb.cc" PROPERTIES COMPILE_OPTIONS "-w")
  target_include_directories(perf_marshal SYSTEM PRIVATE "${out}" "${HYPLINK_PROTOBUF_INCLUDE}")
  target_compile_definitions(perf_marshal PRIVATE HYPLINK_PEER_PROTOBUF)
  target_link_libraries(perf_marshal PRIVATE "${HYPLINK_PROTOBUF}")
endif()
