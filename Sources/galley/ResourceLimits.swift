// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import ArgumentParser
import Builder

/// Options of docker build that limit what RUN steps use. None is carried out yet, and none is passed over in silence.
struct ResourceLimits: ParsableArguments {
    @Option(name: .customLong("cgroup-parent"), help: .hidden) var cgroupParent: String?
    @Option(name: .letter("m", "memory"), help: .hidden) var memory: String?
    @Option(name: .customLong("memory-swap"), help: .hidden) var memorySwap: String?
    @Option(name: .letter("c", "cpu-shares"), help: .hidden) var cpuShares: String?
    @Option(name: .customLong("cpu-period"), help: .hidden) var cpuPeriod: String?
    @Option(name: .customLong("cpu-quota"), help: .hidden) var cpuQuota: String?
    @Option(name: .customLong("cpuset-cpus"), help: .hidden) var cpuSet: String?
    @Option(name: .customLong("cpuset-mems"), help: .hidden) var memorySet: String?

    /// - Throws: when one is given.
    func refuse() throws {
        let given: [(name: String, value: String?)] = [
            ("--cgroup-parent", cgroupParent), ("--memory", memory), ("--memory-swap", memorySwap),
            ("--cpu-shares", cpuShares), ("--cpu-period", cpuPeriod), ("--cpu-quota", cpuQuota),
            ("--cpuset-cpus", cpuSet), ("--cpuset-mems", memorySet),
        ]
        guard let option = given.first(where: { $0.value != nil }) else { return }
        throw BuilderError(
            .unsupported,
            "\(option.name) is not supported yet",
            nextStep: "leave it out, or run galley itself in a cgroup that has the limit, for example with systemd-run"
        )
    }
}
