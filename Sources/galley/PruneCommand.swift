// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import ArgumentParser
import Builder

struct PruneCommand: EngineCommand {
    static let configuration = CommandConfiguration(
        commandName: "prune",
        abstract: "Remove what no image needs, and with --all the build cache too."
    )

    @OptionGroup var global: GlobalOptions

    @Flag(name: .shortAndLong, help: "Also the build cache and the directories of cache mounts.")
    var all = false

    @Flag(name: .shortAndLong, help: "Do not ask.")
    var force = false

    func execute(_ session: Session) async throws -> Int32 {
        if !force {
            let what = all ? "what no image needs and all of the build cache" : "what neither images nor the cache need"
            let answer = try ask("WARNING! This will remove \(what).\nAre you sure you want to continue? [y/N] ")
            guard let answer, ["y", "yes"].contains(answer.lowercased()) else { return 0 }
        }
        let all = all
        let engine = try session.engine()
        let report = try await interruptible { try await engine.prune(all: all) }
        try writeOutput(Self.text(report))
        return 0
    }

    /// An id may be any text of a Dockerfile.
    private static func printable(_ text: String) -> String {
        String(
            text.map { $0.isNewline || $0.unicodeScalars.contains { $0.value < 0x20 || $0.value == 0x7f } ? "?" : $0 }
        )
    }

    static func text(_ report: PruneReport) -> String {
        """
        \(report.cacheMounts.map { "Deleted cache mount: \(printable($0))\n" }.joined())\
        Deleted: \(report.layers) layers, \(report.blobs) blobs, \(report.cacheRecords) cache records

        Total reclaimed space: \(humanSize(report.reclaimed))

        """
    }
}
