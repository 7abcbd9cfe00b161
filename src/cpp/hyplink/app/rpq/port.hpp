/// The port of a vRPQ channel and what a channel is built from; see ring/rpq_port.hpp, where guest
/// kernels, which make ports, can reach it too.
///
/// Thread rule: pure functions and values.
#pragma once

#include "hyplink/ring/rpq_port.hpp"
