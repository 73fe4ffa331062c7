// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildCache
import Content
import LinuxSystem
import Snapshots

/// The automatic policy. Blocks.
struct SpaceKeeper {
    let store: Store
    let settings: SpaceSettings

    /// Rules of age are looked at this often: seconds.
    private static let interval: Int64 = 3600
    /// After a run that could not free enough, since all was needed, seconds until the next.
    private static let pause: Int64 = 60
    /// No new layer but the first is begun to be measured after so long; the next build goes on.
    private static let measuringTime: Int64 = 200_000_000

    /// Applies the rules if that is due and nobody else does it now.
    func run(_ cancellation: CancellationFlag) throws -> PruneReport? {
        guard try isDue(cancellation), let lock = try FileLock(trying: store.pruneLockFile) else { return nil }
        return try withExtendedLifetime(lock) { try apply(cancellation) }
    }

    /// Cheap: one row, and one look at the disk.
    func isDue(_ cancellation: CancellationFlag) throws -> Bool {
        let now = FileTime.now.seconds
        let state = try SpaceState(reading: store.database)
        let age = now - state.checked
        // A check in the future was before the clock was set back.
        if age >= Self.interval || age < 0 { return true }
        if state.stuck != 0, age < Self.pause { return false }
        let disk = try FileSystemSpace(of: store.root.path)
        guard mayBeOver(state, disk) else { return false }
        var used = state.used
        if store.snapshots.madeCount > 0 {
            let limit = FileTime(sinceEpoch: FileTime.now.sinceEpoch + Self.measuringTime)
            try store.snapshots.measure(until: limit, cancellation)
            used += max(0, try store.snapshots.measuredTotal() - state.layers)
        }
        return isOver(used, disk)
    }

    /// Looks at new layers beforehand, while something else is waited for. What goes wrong shows in `run`.
    func prepare(_ cancellation: CancellationFlag) {
        guard store.snapshots.madeCount > 0, let state = try? SpaceState(reading: store.database),
            let disk = try? FileSystemSpace(of: store.root.path), mayBeOver(state, disk)
        else { return }
        let limit = FileTime(sinceEpoch: FileTime.now.sinceEpoch + Self.measuringTime)
        try? store.snapshots.measure(until: limit, cancellation)
    }

    /// False when even all that the disk holds would be within the rules: what the cache takes of it is a part of that.
    /// (Files that share blocks are measured with more than they take.)
    private func mayBeOver(_ state: SpaceState, _ disk: FileSystemSpace) -> Bool {
        isOver(max(state.used, disk.total - disk.free), disk)
    }

    /// Whether the cache is larger than a rule says that goes by size alone.
    private func isOver(_ used: Int64, _ disk: FileSystemSpace) -> Bool {
        settings.rules(on: disk).contains { rule in
            rule.hasLimits && rule.keepDuration == 0 && used > rule.target(used: used, free: disk.free)
        }
    }

    private func apply(_ cancellation: CancellationFlag) throws -> PruneReport {
        let survey = try StoreSurvey(store, cancellation)
        let rules = settings.rules(on: survey.disk)
        let now = FileTime.now.seconds
        let choices = try PrunePolicy.choose(survey.records, rules, disk: survey.disk, now: now)
        var pruning = Pruning(store, survey, cancellation)
        let report = try pruning.remove(choices.map(\.record))
        var state = SpaceState()
        state.checked = now
        state.used = survey.records.reduce(-report.reclaimed) { $0 + ($1.isShared ? 0 : $1.size) }
        state.layers = try store.snapshots.measuredTotal()
        state.stuck = isOver(state.used, try FileSystemSpace(of: store.root.path)) ? 1 : 0
        try state.save(store.database)
        return report
    }
}
