# Stubs from interface files at build time.
#
#   include(hyplink_idl)
#   hyplink_add_idl(my_target FILES a.vidl b.vidl [LANGUAGES c cpp py json md] [OUTPUT_DIR dir])
#
# The target gets the output directory on its include path, depends on the generated files, and
# compiles those that are sources. Imported interfaces are dependencies through a depfile; files are
# rewritten only when their contents change (generators for make compile sources again all the same).

function(hyplink_add_idl target)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "OUTPUT_DIR" "FILES;LANGUAGES")
    if(NOT arg_FILES)
        message(FATAL_ERROR "hyplink_add_idl(${target}): FILES is missing")
    endif()
    if(arg_UNPARSED_ARGUMENTS)
        message(FATAL_ERROR "hyplink_add_idl(${target}): unknown arguments ${arg_UNPARSED_ARGUMENTS}")
    endif()
    if(NOT arg_LANGUAGES)
        set(arg_LANGUAGES cpp)
    endif()
    if(NOT arg_OUTPUT_DIR)
        set(arg_OUTPUT_DIR "${CMAKE_CURRENT_BINARY_DIR}/${target}_idl")
    endif()
    if(NOT HYPLINK_IDL_COMMAND)
        find_package(Python3 REQUIRED COMPONENTS Interpreter)
        set(HYPLINK_IDL_COMMAND "${Python3_EXECUTABLE}" -m hyplink.idl)
    endif()
    list(JOIN arg_LANGUAGES "," languages)

    set(outputs "")
    set(sources "")
    foreach(file IN LISTS arg_FILES)
        get_filename_component(full "${file}" ABSOLUTE)
        get_filename_component(stem "${file}" NAME_WLE)
        string(REGEX REPLACE "[^A-Za-z0-9_]" "_" stem "${stem}")
        # The generator knows what it writes; a file with mistakes says so here already.
        execute_process(
            COMMAND ${HYPLINK_IDL_COMMAND} gen "${full}" -o "${arg_OUTPUT_DIR}" --lang "${languages}" --list
            OUTPUT_VARIABLE made OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_VARIABLE mistakes RESULT_VARIABLE status)
        if(status)
            message(FATAL_ERROR "hyplink_add_idl(${target}): ${mistakes}")
        endif()
        string(REPLACE "\n" ";" made "${made}")
        # The stamp is what the build looks at: the stubs keep their time when nothing in them changed.
        set(stamp "${arg_OUTPUT_DIR}/${stem}.stamp")
        add_custom_command(
            OUTPUT "${stamp}"
            BYPRODUCTS ${made}
            COMMAND ${HYPLINK_IDL_COMMAND} gen "${full}" -o "${arg_OUTPUT_DIR}" --lang "${languages}"
                    --depfile "${stamp}.d" --depfile-target "${stamp}"
            COMMAND "${CMAKE_COMMAND}" -E touch "${stamp}"
            DEPENDS "${full}" ${HYPLINK_IDL_DEPENDS} # the generator itself, where it is under work
            DEPFILE "${stamp}.d"
            COMMENT "Stubs from ${file}"
            VERBATIM)
        list(APPEND outputs "${stamp}")
        foreach(one IN LISTS made)
            if(one MATCHES "\\.(c|cpp)$")
                list(APPEND sources "${one}")
            endif()
        endforeach()
    endforeach()

    add_custom_target(${target}_idl DEPENDS ${outputs})
    add_dependencies(${target} ${target}_idl)
    if(sources)
        target_sources(${target} PRIVATE ${sources})
    endif()
    get_target_property(kind ${target} TYPE)
    if(kind STREQUAL "INTERFACE_LIBRARY")
        target_include_directories(${target} INTERFACE "${arg_OUTPUT_DIR}")
    else()
        target_include_directories(${target} PUBLIC "${arg_OUTPUT_DIR}")
    endif()
endfunction()
