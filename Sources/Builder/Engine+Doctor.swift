// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildOps
import Content
import LinuxSystem
import Snapshots

extension Engine {
    /// Looks for what is wrong with a store and, when asked, drops what is not sound.
    ///
    /// The store need not be usable. Other processes may use it meanwhile, and what they use stays; only a damaged
    /// database has to wait until they have ended.
    public static func examine(_ settings: EngineSettings, _ options: ExaminationOptions) async throws -> StoreReport {
        var report = try await cancellableBlocking { cancellation in
            var examination = StoreExamination(settings.root, options, cancellation)
            try examination.run()
            return examination.report
        }
        let mirrors = try await damagedGitMirrors(
            in: settings.root,
            isDeep: options.isDeep,
            removes: options.repairs,
            environment: settings.environment
        )
        for mirror in mirrors {
            report.findings.append(
                StoreFinding(
                    subject: "git/\(mirror)",
                    problem: "what is kept of a git repository is damaged",
                    action: options.repairs ? "removed it: it is fetched again when it is needed" : nil
                )
            )
        }
        return report
    }
}

/// One look at a store, from the ground up: directories, database, blobs, layers, cache records, images. Blocks.
struct StoreExamination {
    let root: RawPath
    let options: ExaminationOptions
    let cancellation: CancellationFlag
    var report = StoreReport()
    /// The database was made anew from what could be read of the old one: what its rows say has to be proved.
    var isRebuilt = false
    /// Layers that are forgotten, or would be.
    var unsoundLayers: Set<SnapshotID> = []

    init(_ root: RawPath, _ options: ExaminationOptions, _ cancellation: CancellationFlag) {
        self.root = root
        self.options = options
        self.cancellation = cancellation
    }

    mutating func run() throws {
        guard try statusIfPresent(at: workingDirectory, root, following: true) != nil else { return }
        guard try examineDirectories() else { return }
        try examineLeftovers()
        guard try examineDatabase() else { return }
        let store = try Store(root, clearsLeftovers: options.repairs)
        defer {
            store.database.close()
            store.root.close()
        }
        let damaged = try examineBlobs(store)
        try examineLayers(store, damagedBlobs: damaged)
        try examineImages(store)
        try examineCache(store)
        try removeForgotten(store)
        try examineCacheMounts(store)
        try examineMountPoints()
    }

    /// Tells what is wrong and, when that is asked for, does what `action` says.
    ///
    /// - Parameter repair: nil when nothing can be done by itself.
    mutating func find(
        _ subject: String,
        _ problem: String,
        _ action: String? = nil,
        advice: String? = nil,
        repair: (() throws -> Void)? = nil
    ) throws {
        var finding = StoreFinding(subject: subject, problem: problem, advice: advice)
        if options.repairs, let repair {
            try repair()
            finding.action = action
        }
        report.findings.append(finding)
    }
}
