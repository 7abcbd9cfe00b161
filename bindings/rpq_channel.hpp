/// An end of a vRPQ channel as Python holds it: one thread at a time, which does not wait with the
/// GIL.
#pragma once

#include <type_traits>

#include "border.hpp"
#include "hyplink/app/rpq/session.hpp"
#include "hyplink/base/text.hpp"
#include "window.hpp"

namespace hyplink::border {

/// What Python holds of a channel end: the channel and a cached view of its port.
template <class Channel>
struct PyChannel {
    std::unique_ptr<rpq::OpenChannel<Channel>> open;
    py::object view;
    py::object readonly_view;
    py::object empty_view;

    explicit PyChannel(std::unique_ptr<rpq::OpenChannel<Channel>> made) : open(std::move(made)) {
        Channel& channel = open->channel();
        view = make_view(channel.window(), channel.window_bytes(), channel.context().keep);
        readonly_view = view.attr("toreadonly")();
        empty_view = view[py::slice(0, 0, 1)];
    }
    PyChannel(PyChannel&&) = default;
    ~PyChannel() {
        // Closing asks the kernel: never with the GIL, which the answer may need (seeded benches).
        py::gil_scoped_release released;
        open.reset();
    }
    Channel& channel() {
        alone();
        if (!open->is_open()) [[unlikely]]
            raise(Error::make(Errc::closed, "the channel is closed"));
        return open->channel();
    }
    /// Raise if another thread is inside: an end is one thread's. Needs the GIL, which guards
    /// `user_`.
    void alone() const {
        if (user_ != 0 && user_ != PyThread_get_thread_ident()) [[unlikely]]
            raise(Error::make(Errc::busy,
                              text("the channel on \"", open->channel().context().label,
                                   "\" is in use by another thread: one thread at a time")));
    }
    Runtime& runtime() { return open->application().runtime(); }
    /// Run an operation without the GIL, as the one thread that is inside. It may run handlers,
    /// which come in again.
    template <class Body>
    auto away(Body&& body) {
        struct Inside {
            PyChannel& self;
            unsigned long before;
            explicit Inside(PyChannel& channel) : self(channel), before(channel.user_) {
                self.user_ = PyThread_get_thread_ident();
            }
            ~Inside() {
                self.user_ = before;
                if (before == 0 && !self.open->is_open()) self.drop_handlers();
            }
        } inside{*this};
        return without_gil(std::forward<Body>(body));
    }
    /// What may hand over to another task of a seeded bench runs without the GIL there: that task
    /// may need it.
    template <class Body>
    auto maybe_away(Body&& body) {
        return runtime().seeded() ? away(std::forward<Body>(body)) : body();
    }
    /// From any thread: whoever is inside comes back with ECANCELED.
    void close() {
        if (user_ == 0) drop_handlers();
        py::gil_scoped_release released;
        open->close();
    }

   private:
    /// Handlers often hold the channel, and nobody would find that circle.
    void drop_handlers() {
        if constexpr (std::is_same_v<Channel, rpq::ClientChannel>)
            open->channel().on_callback({});
        else
            open->channel().on_nested({});
    }

    unsigned long user_ = 0;  ///< the thread inside `away`, if any
};
using PyClient = PyChannel<rpq::ClientChannel>;
using PyServer = PyChannel<rpq::ServerChannel>;

}  // namespace hyplink::border
