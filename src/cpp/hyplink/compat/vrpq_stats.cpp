#include "hyplink/compat/vrpq_objects.hpp"

extern "C" int vrpqProf(const char*, int, VrpqStat*, uint32_t*) {
    return hyplink::compat::failed(hyplink::Errc::unsupported, "vrpqProf");
}
