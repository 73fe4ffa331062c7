// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildCache
import Content
public import LinuxSystem
import OCI

/// What takes space, and what the policy makes of it.
public struct StoreUsage: Sendable {
    public var records: [UsageRecord]
    public var disk: FileSystemSpace
    public var limits: [SpaceLimit]
    public var rules: [PruneRule]
    /// Whether rules are applied after builds.
    public var isAutomatic: Bool
    /// The configuration that says so; nil for Galley's own defaults.
    public var source: String?
    /// What the next build would remove when it ends.
    public var due: [PrunePolicy.Choice]
    /// What would go first if there were too much; nil when nothing can go.
    public var next: Int?

    public init(
        records: [UsageRecord],
        disk: FileSystemSpace,
        limits: [SpaceLimit],
        rules: [PruneRule],
        isAutomatic: Bool,
        source: String?,
        due: [PrunePolicy.Choice],
        next: Int?
    ) {
        self.records = records
        self.disk = disk
        self.limits = limits
        self.rules = rules
        self.isAutomatic = isAutomatic
        self.source = source
        self.due = due
        self.next = next
    }
}

/// What `galley prune` is to remove.
public struct PruneRequest: Sendable, Hashable {
    /// Also what Galley keeps for itself, and base images that builds pulled by themselves.
    public var all = false
    /// Conditions that must all hold.
    public var filter: UsageFilter?
    /// Only what was not used for so many seconds.
    public var keepDuration: Int64?
    public var reserved: SpaceAmount?
    public var maximum: SpaceAmount?
    public var minimumFree: SpaceAmount?

    public init() {}

    private var hasLimits: Bool { reserved != nil || maximum != nil || minimumFree != nil }

    /// Whether the cache is touched at all, rather than only what nothing leads to.
    public var touchesCache: Bool { all || filter != nil || keepDuration != nil || hasLimits }

    func rule(on disk: FileSystemSpace) -> PruneRule {
        PruneRule(
            filters: filter.map { [$0] } ?? [],
            keepDuration: keepDuration ?? 0,
            reserved: reserved?.bytes(of: disk) ?? 0,
            maximum: maximum?.bytes(of: disk) ?? 0,
            minimumFree: minimumFree?.bytes(of: disk) ?? 0,
            all: all,
            onlyDangling: !touchesCache
        )
    }
}

extension Engine {
    /// What takes space in the store.
    public func usage() async throws -> StoreUsage {
        let (store, settings) = (store, settings.space)
        return try await cancellableBlocking { cancellation in
            let survey = try StoreSurvey(store, cancellation)
            let rules = settings.rules(on: survey.disk)
            let now = FileTime.now.seconds
            let first = try PrunePolicy.choose(survey.records, [PruneRule(all: true)], disk: survey.disk, now: now)
                .first
            return StoreUsage(
                records: survey.records,
                disk: survey.disk,
                limits: settings.limits(on: survey.disk),
                rules: rules,
                isAutomatic: settings.isAutomatic,
                source: settings.source,
                due: try PrunePolicy.choose(survey.records, rules, disk: survey.disk, now: now),
                next: first?.record
            )
        }
    }

    /// Removes what nothing needs; with a request for more, that of the build cache too.
    ///
    /// What named images need, and what another process that runs now made or looked up, stays.
    public func prune(_ request: PruneRequest) async throws -> PruneReport {
        let store = store
        // One at a time, so that what each says it freed it freed itself.
        while true {
            let report = try await cancellableBlocking { cancellation -> PruneReport? in
                guard let lock = try FileLock(trying: store.pruneLockFile) else { return nil }
                return try withExtendedLifetime(lock) { try Self.prune(store, request, cancellation) }
            }
            if let report { return report }
            // The holder may be another process, which wakes nobody.
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    private static func prune(
        _ store: Store,
        _ request: PruneRequest,
        _ cancellation: CancellationFlag
    ) throws -> PruneReport {
        let removesNames = !request.touchesCache || request.all && request.rule(on: .init(total: 0, free: 0)).takesAll
        if removesNames {
            let horizon = try store.root.pruneHorizon()
            for record in try store.images.all() where record.reference.isUnnamed || request.all && record.isImplicit {
                _ = try store.images.removeImplicit(record, setBefore: horizon)
            }
        }
        let database = try store.databaseSize()
        let survey = try StoreSurvey(store, cancellation)
        let rule = request.rule(on: survey.disk)
        let choices = try PrunePolicy.choose(
            survey.records,
            [rule],
            disk: survey.disk,
            now: FileTime.now.seconds
        )
        var pruning = Pruning(store, survey, cancellation)
        var report = try pruning.remove(choices.map(\.record))
        // All other results too: those of images that have names are worth little without them.
        if rule.takesAll {
            report.cacheRecords += try CacheCatalogue(store.database).remove(survey.results.map(\.id))
        }
        if try store.root.oldestLiveOwner() == nil, try store.database.unusedBytes() >= compactionThreshold {
            try store.database.compact()
            report.reclaimed += max(0, database - (try store.databaseSize()))
        }
        return report
    }

    /// The database is only made smaller when that gives so many bytes back.
    private static let compactionThreshold: Int64 = 1 << 20

    // MARK: Automatic

    /// Applies the policy when that is due. To be called when a build's result is out, or when it failed; nothing of what
    /// it does can fail a build. Cancelled, it stops soon, and the next build goes on.
    ///
    /// - Returns: what it removed; nil when it was not due, or was not done to its end.
    @discardableResult
    public func applySpacePolicy() async -> PruneReport? {
        guard settings.space.isAutomatic else { return nil }
        let (store, settings) = (store, settings.space)
        // A store that cannot be pruned is not what the user asked about: the next build tries again, and
        // `galley prune` says why it cannot.
        return try? await cancellableBlocking { try SpaceKeeper(store: store, settings: settings).run($0) }
    }
}

extension PruneRule {
    /// Whether everything goes that may.
    var takesAll: Bool { all && filters.isEmpty && keepDuration == 0 && !hasLimits }
}

extension Store {
    var pruneLockFile: RawPath { root.path.appending("prune.lock") }
}
