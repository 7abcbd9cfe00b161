/// What an application has open of a vUmem client's driver: a session, a buffer. Thread rule: the
/// guest kernel's.
#pragma once

#include "hyplink/base/text.hpp"
#include "hyplink/guest/umem_client.hpp"

namespace hyplink::guest {

class UmemSessionHandle final : public UmemHandle {
   public:
    UmemSessionHandle(UmemClientLink& link, std::shared_ptr<UmemSession> session)
        : link_(&link), session_(std::move(session)) {}
    void close() override { link_->close_session(session_); }
    void request(Pending pending, SysRequest& request) override {
        if (request.op == Sys::umem_alloc) return link_->alloc(session_, pending, request.data);
        link_->kernel().fail(pending, Errc::bad_argument, "a vUmem session only allocates");
    }
    UmemClientLink* link() const { return link_; }
    const std::shared_ptr<UmemSession>& session() const { return session_; }

   private:
    UmemClientLink* link_;
    std::shared_ptr<UmemSession> session_;
};

class UmemBufferHandle final : public UmemHandle {
   public:
    UmemBufferHandle(UmemClientLink& link, std::shared_ptr<UmemHolding> holding)
        : link_(&link), holding_(std::move(holding)) {}
    void close() override { link_->free(holding_, {}); }
    void request(Pending pending, SysRequest& request) override {
        switch (request.op) {
            case Sys::umem_free: {
                const std::shared_ptr<UmemHolding> holding = holding_;
                GuestKernel& kernel = link_->kernel();
                link_->free(holding, pending);
                return kernel.forget_handle(holding->app, holding->handle);  // and this object
            }
            case Sys::umem_register: {
                auto* session = dynamic_cast<UmemSessionHandle*>(link_->kernel().find_handle(
                    pending.app, static_cast<std::uint32_t>(request.args[0])));
                if (session == nullptr || session->link() != link_)
                    return link_->kernel().fail(pending, Errc::bad_argument,
                                                "register: not a session of the same device");
                return link_->register_buffer(holding_, pending, session->session());
            }
            case Sys::umem_unregister:
                return link_->unregister_buffer(holding_, pending);
            case Sys::umem_map:
                return link_->map(holding_, pending, request.args[0] != 0);
            case Sys::umem_mapped:
                return link_->mapped(holding_, pending);
            case Sys::umem_unmap:
                return link_->unmap(holding_, pending);
            case Sys::umem_cache:
                return link_->cache(holding_, pending, request.args[0]);
            case Sys::umem_control:
                return link_->control(holding_, pending, request);
            default:
                link_->kernel().fail(pending, Errc::bad_argument, "not a request of a buffer");
        }
    }

   private:
    UmemClientLink* link_;
    std::shared_ptr<UmemHolding> holding_;
};

}  // namespace hyplink::guest
