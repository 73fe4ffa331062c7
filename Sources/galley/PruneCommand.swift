// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import ArgumentParser
import Builder

struct PruneCommand: EngineCommand {
    static let configuration = CommandConfiguration(
        commandName: "prune",
        abstract: "Remove what nothing needs; with options, of the build cache too.",
        discussion: """
            Without options: layers, blobs and unnamed images that neither images nor the build cache need.
            With filters or sizes: what matches of the build cache, the least recently used first.
            With --all: also what Galley keeps for itself, and base images that builds pulled.
            What named images need, and what is in use, stays in any case.
            """
    )

    @OptionGroup var global: GlobalOptions

    @Flag(name: .shortAndLong, help: "Also the build cache, cache mounts, git mirrors and pulled base images.")
    var all = false

    @Flag(name: .shortAndLong, help: "Do not ask.")
    var force = false

    @Flag(name: .shortAndLong, help: "Show what was removed.")
    var verbose = false

    @Option(
        parsing: .unconditionalSingleValue,
        help: .init("Remove only what matches, like type=exec.cachemount or until=24h.", value: "filter")
    )
    var filter: [String] = []

    @Option(parsing: .unconditional, help: .init("Remove only what was not used for so long.", value: "duration"))
    var until: String?

    @Option(
        name: [.customLong("reserved-space"), .customLong("keep-storage")],
        parsing: .unconditional,
        help: .init("Keep so much of the cache.", value: "size")
    )
    var reservedSpace: String?

    @Option(
        name: .customLong("max-used-space"),
        parsing: .unconditional,
        help: .init("Remove until the cache has no more than this.", value: "size")
    )
    var maxUsedSpace: String?

    @Option(
        name: .customLong("min-free-space"),
        parsing: .unconditional,
        help: .init("Remove until so much of the disk is free.", value: "size")
    )
    var minFreeSpace: String?

    func execute(_ session: Session) async throws -> Int32 {
        let request = try request()
        if !force {
            let answer = try ask("WARNING! \(Self.warning(request))\nAre you sure you want to continue? [y/N] ")
            guard let answer, ["y", "yes"].contains(answer.lowercased()) else { return 0 }
        }
        let engine = try session.engine()
        let report = try await interruptible { try await engine.prune(request) }
        try writeOutput(text(report, now: currentSeconds()))
        return 0
    }

    func request() throws -> PruneRequest {
        let selection = try UsageSelection(filter, until: until)
        var request = PruneRequest()
        request.all = all
        request.filter = selection.filter
        request.keepDuration = selection.keepDuration
        request.reserved = try reservedSpace.map { try Self.amount($0, "--reserved-space") }
        request.maximum = try maxUsedSpace.map { try Self.amount($0, "--max-used-space") }
        request.minimumFree = try minFreeSpace.map { try Self.amount($0, "--min-free-space") }
        // Without a limit everything would go, which is the contrary of what this says.
        if request.minimumFree?.isZero == true, [request.maximum, request.reserved].allSatisfy({ $0?.isZero != false })
        {
            throw invalidValue(
                "--min-free-space 0 removes nothing",
                "leave it out to remove all that the other options say, or give a size"
            )
        }
        return request
    }

    private static func amount(_ text: String, _ option: String) throws -> SpaceAmount {
        guard let amount = SpaceAmount(text) else {
            throw invalidValue("invalid \(option): '\(text)'", "write bytes, a size like 10GB or a share like 10%")
        }
        return amount
    }

    private static func warning(_ request: PruneRequest) -> String {
        if !request.touchesCache { return "This will remove what neither images nor the cache need." }
        let isPart =
            request.filter != nil || request.keepDuration != nil || request.reserved != nil || request.maximum != nil
            || request.minimumFree != nil
        if isPart { return "This will remove what matches of the build cache." }
        return "This will remove what no image needs and all of the build cache."
    }

    func text(_ report: PruneReport, now: Int64) throws -> String {
        var text = ""
        if verbose, !report.removed.isEmpty {
            let rows = report.removed.map { DuCommand.row($0, now, marks: true) }
            text += try DuCommand.listing.render(rows, format: nil) + "\n"
        }
        text += report.cacheMounts.map { "Deleted cache mount: \(printable($0))\n" }.joined()
        return text + """
            Deleted: \(report.layers) layers, \(report.blobs) blobs, \(report.cacheRecords) cache records

            Total reclaimed space: \(humanSize(report.reclaimed))

            """
    }
}
