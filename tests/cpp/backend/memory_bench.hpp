/// A bench whose VM 2 may import from VM 3, with an application in each.
#pragma once

#include <cstdlib>
#include <memory>

#include "check.hpp"
#include "hyplink/app/memory/vm_memory.hpp"
#include "hyplink/backend/bench.hpp"

struct MemoryBench {
    explicit MemoryBench(hyplink::backend::BackendKind kind) {
        hyplink::hyp::BoardSpec board;
        board.vms = {{2, "importer", {}, {3}}, {3, "exporter"}};
        hyplink::backend::BenchOptions options;
        options.kind = kind;
        if (const char* program = std::getenv("HYPLINK_VM")) options.vm_program = program;
        auto made = hyplink::backend::Bench::make(board, options);
        REQUIRE(made);
        bench = *made;
        for (hyplink::VmId vm : {2U, 3U}) REQUIRE(bench->boot(vm, soon()));
        auto first = bench->attach(3);
        auto second = bench->attach(2);
        REQUIRE(first && second);
        exporting = *first;
        importing = *second;
        auto memory = hyplink::app::VmMemory::open(exporting);
        REQUIRE(memory);
        exporter = *memory;
    }
    ~MemoryBench() {
        exporter->close();
        bench->close();
    }
    hyplink::Deadline soon() const { return bench->runtime().in(60'000'000'000); }

    std::shared_ptr<hyplink::backend::Bench> bench;
    std::shared_ptr<hyplink::app::Application> exporting;
    std::shared_ptr<hyplink::app::Application> importing;
    std::shared_ptr<hyplink::app::VmMemory> exporter;
};
