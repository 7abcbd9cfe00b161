# find_package(hyplink): targets hyplink::app, hyplink::compat, … (each brings the floors below it).
include(CMakeFindDependencyMacro)
find_dependency(Boost 1.74)
find_dependency(Threads)
include("${CMAKE_CURRENT_LIST_DIR}/hyplink-targets.cmake")
