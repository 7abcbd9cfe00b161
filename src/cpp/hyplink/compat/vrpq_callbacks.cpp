#include "hyplink/compat/vrpq_objects.hpp"

using hyplink::Errc;
using hyplink::compat::failed;

extern "C" {

int vrpqCallbackHandle(VrpqChan, int32_t (*)(void*, VrpqReq*), void*) {
    return failed(Errc::unsupported, "callbacks");
}
int vrpqCallbackRun(VrpqChan, int) { return failed(Errc::unsupported, "callbacks"); }
void* vrpqCallbackParamAlloc(VrpqChan, uint32_t, uint32_t, void**) {
    errno = failed(Errc::unsupported, "callbacks");
    return nullptr;
}
int vrpqCallbackPerform(VrpqChan, uint32_t, void*, void*) {
    return failed(Errc::unsupported, "callbacks");
}

}  // extern "C"
