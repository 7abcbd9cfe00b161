/// Hypercalls as messages: what the bench's end answers with. Private to the backend.
#pragma once

#include <memory>
#include <vector>

#include "hyplink/backend/hyp_messages.hpp"

namespace hyplink::backend {

struct Reply {
    Packer packer;
    std::vector<int> fds;
    std::vector<std::shared_ptr<void>> keep;  ///< whose the descriptors are

    Reply() { packer.put(VmMessage::reply); }
    void failed(const Error& error) {
        packer.put(error.code()).put_text(error.text().substr(0, 1000));
    }
    void status(const Status& result) {
        if (!result) return failed(result.error());
        packer.put(Errc::ok);
    }
    void address(const Result<mem::Ipa>& result) {
        if (!result) return failed(result.error());
        packer.put(Errc::ok).put(*result);
    }
    void fd(const std::shared_ptr<sys::Fd>& one) {
        fds.push_back(one->get());
        keep.push_back(one);
    }
    void region(const std::shared_ptr<mem::Region>& memory) {
        fds.push_back(memory->fd());
        keep.push_back(memory);
    }
    void view(const Result<hyp::MemoryView>& result) {
        if (!result) return failed(result.error());
        packer.put(Errc::ok).put(result->base);
        region(result->region);
    }
    void port(const Result<hyp::PortGrant>& result) {
        if (!result) return failed(result.error());
        packer.put(Errc::ok).put(result->id);
        region(result->region);
        for (const auto& one : result->fds) fd(one);
    }
};

/// Calls about memory that is granted, lent, or a device's. Errors: protocol (it is none).
Status serve_memory(hyp::Hypercalls& guest, HypOp op, Unpacker& reader, sys::Message& message,
                    Reply& reply);

}  // namespace hyplink::backend
