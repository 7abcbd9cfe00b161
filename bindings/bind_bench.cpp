/// The bench: boot, kill, links, journal. Everything that may wait releases the GIL.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>

#include "border.hpp"
#include "hyplink/backend/bench.hpp"
#include "hyplink/backend/seeded_runtime.hpp"

namespace hyplink::border {
namespace {

using backend::Bench;

hyp::BoardSpec board_of(const py::dict& spec) {
    hyp::BoardSpec board;
    for (py::handle item : spec["vms"]) {
        const auto vm = py::cast<py::sequence>(item);
        hyp::VmSpec& made = board.vms.emplace_back(hyp::VmSpec{
            vm[0].cast<VmId>(), vm[1].cast<std::string>(), {}, vm[2].cast<std::vector<VmId>>()});
        for (py::handle region : vm[3].cast<py::sequence>()) {
            const auto io = py::cast<py::sequence>(region);
            made.io_memory.push_back({io[0].cast<std::uint64_t>(), io[1].cast<std::uint64_t>(),
                                      io[2].cast<std::uint64_t>(), io[3].cast<bool>()});
        }
    }
    for (py::handle item : spec["links"]) {
        const auto link = py::cast<py::sequence>(item);
        board.links.push_back({link[0].cast<std::string>(), link[1].cast<std::uint32_t>(),
                               link[3].cast<VmId>(), link[4].cast<VmId>(),
                               link[5].cast<std::string>(), link[6].cast<std::string>(), 0});
    }
    return board;
}

/// A flag that Python threads of a bench wait on, through the bench's runtime (so that a seeded run
/// sees it).
class PyEvent {
   public:
    explicit PyEvent(std::shared_ptr<Bench> bench) : bench_(std::move(bench)) {}
    void set() { ring(bench_->runtime(), bell_); }
    bool is_set() const { return bell_seen(bell_) != 0; }
    bool wait(std::optional<double> seconds) {
        Runtime& runtime = bench_->runtime();
        const Deadline until = deadline(runtime, seconds);
        const Status status = without_gil([&]() -> Status {
            const BellWait wait{&bell_, 0};
            while (bell_seen(bell_) == 0) {
                const Errc outcome = runtime.wait(std::span(&wait, 1), until);
                if (outcome != Errc::ok) return Status(outcome);
            }
            return {};
        });
        if (status.code() == Errc::timed_out) return false;
        unwrap(status);
        return true;
    }

   private:
    std::shared_ptr<Bench> bench_;
    BellWords bell_{};
};

/// A task of a seeded bench: announced by the parent, entered by the new thread. Nothing on a real
/// bench.
class PyTask {
   public:
    explicit PyTask(std::shared_ptr<Bench> bench)
        : bench_(std::move(bench)),
          runtime_(dynamic_cast<backend::SeededRuntime*>(&bench_->runtime())) {
        if (runtime_ != nullptr) task_ = runtime_->announce();
    }
    void enter() {
        py::gil_scoped_release released;
        if (runtime_ != nullptr) runtime_->enter(task_);
    }
    void leave() {
        py::gil_scoped_release released;
        if (runtime_ != nullptr) runtime_->leave();
    }

   private:
    std::shared_ptr<Bench> bench_;
    backend::SeededRuntime* runtime_;
    backend::SeededRuntime::TaskId task_ = 0;
};

py::bytes journal(Bench& bench) {
    std::vector<Record> all;
    {
        py::gil_scoped_release released;
        for (const auto& scope : bench.hypervisor().scopes()) {
            auto records = Scope::read(scope.region->bytes());
            for (Record& record : records) {  // a guest may have written another's name
                record.vm = static_cast<std::uint16_t>(scope.vm);
                record.app = scope.app;
            }
            all.insert(all.end(), records.begin(), records.end());
        }
        std::stable_sort(all.begin(), all.end(),
                         [](const Record& a, const Record& b) { return a.time < b.time; });
    }
    return py::bytes(reinterpret_cast<const char*>(all.data()), all.size() * sizeof(Record));
}

/// (counters, procedures): both of one look, so that a procedure's `channel` counts the former.
std::pair<py::bytes, py::bytes> counters(Bench& bench) {
    std::vector<ChannelCounters> all;
    std::vector<ProcedureRow> rows;
    for (const auto& scope : bench.hypervisor().scopes()) {
        auto slots = Scope::read_counters(scope.region->bytes(),
                                          static_cast<std::uint32_t>(all.size()), rows);
        for (ChannelCounters& slot : slots) {
            slot.vm = scope.vm;
            slot.app = scope.app;
            // What a VM had when it died it has no more.
            if (scope.ended) slot.in_use = kSlotClosed;
        }
        all.insert(all.end(), slots.begin(), slots.end());
    }
    return {
        py::bytes(reinterpret_cast<const char*>(all.data()), all.size() * sizeof(ChannelCounters)),
        py::bytes(reinterpret_cast<const char*>(rows.data()), rows.size() * sizeof(ProcedureRow))};
}

}  // namespace

void bind_bench(py::module_& module) {
    py::class_<Bench, std::shared_ptr<Bench>> type(
        module, "Bench", py::release_gil_before_calling_cpp_dtor(), "One hypervisor and its VMs.");

    py::class_<PyEvent>(module, "Event")
        .def(py::init<std::shared_ptr<Bench>>())
        .def("set", &PyEvent::set)
        .def("is_set", &PyEvent::is_set)
        .def("wait", &PyEvent::wait, py::arg("timeout") = py::none());
    py::class_<PyTask>(module, "Task")
        .def(py::init<std::shared_ptr<Bench>>())
        .def("enter", &PyTask::enter)
        .def("leave", &PyTask::leave);

    type.def(py::init([](const py::dict& spec, const std::string& backend,
                         std::optional<std::uint64_t> seed, const std::string& vm_program,
                         double cleanup_grace) {
                 backend::BenchOptions options;
                 options.kind = backend == "process" ? backend::BackendKind::process
                                                     : backend::BackendKind::thread;
                 options.seeded = seed.has_value();
                 options.seed = seed.value_or(0);
                 options.vm_program = vm_program;
                 options.limits.cleanup_grace =
                     static_cast<std::int64_t>(std::ceil(cleanup_grace * 1e9));
                 hyp::BoardSpec board = board_of(spec);
                 auto bench =
                     unwrap(without_gil([&] { return Bench::make(std::move(board), options); }));
                 bench->set_interrupt_check(&python_interrupts);
                 bench->runtime().set_hears_late(&python_hears_late);
                 return bench;
             }),
             py::arg("spec"), py::arg("backend"), py::arg("seed"), py::arg("vm_program"),
             py::arg("cleanup_grace"))
        .def(
            "boot",
            [](Bench& self, VmId vm, std::optional<double> timeout) {
                const Deadline until = deadline(self.runtime(), timeout);
                unwrap(without_gil([&] { return self.boot(vm, until); }));
            },
            py::arg("vm"), py::arg("timeout"))
        .def(
            "shutdown",
            [](Bench& self, VmId vm, std::optional<double> timeout) {
                const Deadline until = deadline(self.runtime(), timeout);
                unwrap(without_gil([&] { return self.shutdown(vm, until); }));
            },
            py::arg("vm"), py::arg("timeout"))
        .def(
            "kill",
            [](Bench& self, VmId vm) { unwrap(without_gil([&] { return self.kill(vm); })); },
            py::arg("vm"))
        .def(
            "attach",
            [](Bench& self, VmId vm) {
                return unwrap(without_gil([&] { return self.attach(vm); }));
            },
            py::arg("vm"))
        .def(
            "attach_socket",
            [](Bench& self, VmId vm) {
                return unwrap(without_gil([&] { return self.attach_socket(vm); })).release();
            },
            py::arg("vm"))
        .def(
            "run",
            [](Bench& self, VmId vm, std::vector<std::string> arguments,
               std::vector<std::string> environment, std::vector<int> fds) {
                const backend::Program program{std::move(arguments), std::move(environment),
                                               std::move(fds)};
                unwrap(without_gil([&] { return self.run(vm, program); }));
            },
            py::arg("vm"), py::arg("arguments"), py::arg("environment"), py::arg("fds"))
        .def("close", &Bench::close, py::call_guard<py::gil_scoped_release>())
        .def(
            "wait_link",
            [](Bench& self, LinkIndex link, bool on, std::optional<double> timeout) {
                const Deadline until = deadline(self.runtime(), timeout);
                unwrap(without_gil([&] { return self.wait_link(link, on, until); }));
            },
            py::arg("link"), py::arg("on"), py::arg("timeout"))
        .def(
            "wait_vm",
            [](Bench& self, VmId vm, std::uint32_t state, std::optional<double> timeout) {
                const Deadline until = deadline(self.runtime(), timeout);
                unwrap(without_gil([&] {
                    return self.wait_change(
                        [&] {
                            return static_cast<std::uint32_t>(self.hypervisor().vm_state(vm)) ==
                                   state;
                        },
                        until);
                }));
            },
            py::arg("vm"), py::arg("state"), py::arg("timeout"))
        .def("vm_state",
             [](Bench& self, VmId vm) { return static_cast<int>(self.hypervisor().vm_state(vm)); })
        .def("vm_boots", [](Bench& self, VmId vm) { return self.hypervisor().boots(vm); })
        .def("vm_pid", &Bench::vm_pid)
        .def("link_states",
             [](Bench& self, LinkIndex link) {
                 if (link >= self.hypervisor().link_count()) throw py::index_error("link");
                 return py::make_tuple(
                     static_cast<int>(self.hypervisor().link_state(link, Role::server)),
                     static_cast<int>(self.hypervisor().link_state(link, Role::client)));
             })
        .def("mark",
             [](Bench& self, std::uint32_t a, std::uint64_t b, std::uint64_t c) {
                 self.hypervisor().journal(Event::mark, Record::kNoLink, a, b, c);
             })
        .def("now", [](Bench& self) { return self.runtime().now(); })
        .def("journal", &journal, "All records, 64 bytes each, ordered by time.")
        .def("counters", &counters,
             "All channel counters, 256 bytes each, and of procedures, 56 bytes each.")
        .def(
            "grants",
            [](Bench& self) {
                using Row = std::tuple<std::uint64_t, std::uint64_t, VmId, VmId, std::uint32_t,
                                       std::uint32_t, std::uint32_t, std::string>;
                const hyp::GrantLevel usual = self.hypervisor().grant_level();
                std::vector<Row> rows;
                for (const hyp::GrantRow& row : self.hypervisor().grants())
                    rows.emplace_back(row.range.at, row.range.bytes, row.exporter, row.importer,
                                      row.rights, static_cast<std::uint32_t>(row.state),
                                      row.generation,
                                      name(row.broker ? hyp::GrantLevel::broker : usual));
                return rows;
            },
            "Rows of (address, bytes, exporter, importer, rights, state, generation, level).")
        .def(
            "missed_holds",
            [](Bench& self) {
                std::vector<std::tuple<VmId, VmId, std::uint64_t>> rows;
                for (const hyp::MissedHolds& missed : self.hypervisor().missed_holds())
                    rows.emplace_back(missed.exporter, missed.importer, missed.count);
                return rows;
            },
            "Rows of (exporter, importer, count).")
        .def("count_procedures",
             [](Bench& self, bool on) { self.hypervisor().count_procedures(on); })
        .def("enable_journal", [](Bench& self, bool on) { self.hypervisor().enable_journal(on); });
}

}  // namespace hyplink::border
