// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import ArgumentParser
import Builder
import LinuxSystem
import Testing

@testable import galley

private let now: Int64 = 100 * 86400

/// - Parameter days: since the last use.
private func layer(_ id: Int, on parents: [Int] = [], _ size: Int64 = 10, days: Int64 = 0, shared: Bool = false)
    -> UsageRecord
{
    UsageRecord(
        id: String(id),
        kind: .regular,
        parents: parents.map(String.init),
        lastUsed: (now - days * 86400) * 1_000_000_000,
        size: size,
        isShared: shared
    )
}

private func cheap(_ id: String, _ kind: UsageRecord.Kind, _ size: Int64, days: Int64) -> UsageRecord {
    UsageRecord(id: id, kind: kind, lastUsed: (now - days * 86400) * 1_000_000_000, size: size, isMutable: true)
}

private func chosen(_ records: [UsageRecord], _ rules: [PruneRule], total: Int64 = 1000, free: Int64 = 500) throws
    -> [String]
{
    let disk = FileSystemSpace(total: total, free: free)
    return try PrunePolicy.choose(records, rules, disk: disk, now: now).map { records[$0.record].id }
}

struct PrunePolicyTests {
    @Test(
        arguments: [
            // maximum, reserved, minimum free, used, free -> what stays
            (0, 0, 0, 100, 500, 0), (80, 0, 0, 100, 500, 80), (80, 90, 0, 100, 500, 90), (0, 50, 0, 100, 500, 50),
            (0, 0, 530, 100, 500, 70), (0, 90, 530, 100, 500, 90), (80, 0, 530, 100, 500, 70),
            (60, 0, 530, 100, 500, 60),
            (0, 0, 400, 100, 500, 100), (80, 0, 400, 100, 500, 80), (0, 0, 700, 100, 500, 0),
            (0, 10, 700, 100, 500, 10),
        ] as [(Int64, Int64, Int64, Int64, Int64, Int64)]
    )
    func targets(maximum: Int64, reserved: Int64, free: Int64, used: Int64, isFree: Int64, stays: Int64) {
        let rule = PruneRule(reserved: reserved, maximum: maximum, minimumFree: free)
        #expect(max(0, rule.target(used: used, free: isFree)) == stays)
    }

    @Test func leastRecentlyUsedFirstUntilItFits() throws {
        let records = [layer(1, days: 3), layer(2, days: 9), layer(3, days: 5), layer(4, days: 1)]
        #expect(try chosen(records, [PruneRule(maximum: 20)]) == ["2", "3"])
        #expect(try chosen(records, [PruneRule(maximum: 40)]) == [])
        #expect(try chosen(records, [PruneRule(maximum: 39)]) == ["2"])
        #expect(try chosen(records, [PruneRule(minimumFree: 515)]) == ["2", "3"])
        #expect(try chosen(records, [PruneRule(reserved: 35, minimumFree: 900)]) == ["2"])
        #expect(try chosen(records, [PruneRule()]) == ["2", "3", "1", "4"])
    }

    @Test func usesWithinOneSecondHaveAnOrder() throws {
        var records = [layer(1), layer(2), layer(3)]
        for (index, nanoseconds) in [700, 900, 20].enumerated() { records[index].lastUsed? += Int64(nanoseconds) }
        #expect(try chosen(records, [PruneRule(maximum: 10)]) == ["3", "1"])
        // Ages are told and compared in whole seconds.
        #expect(records.map(\.lastUsedSeconds) == [now, now, now])
        #expect(try chosen(records, [PruneRule(keepDuration: 1)]) == [])
    }

    @Test func whatIsNeededNeitherCountsNorGoes() throws {
        var records = [layer(1, 100, days: 90, shared: true), layer(2, days: 80), layer(3, days: 70)]
        records[2].isInUse = true
        #expect(try chosen(records, [PruneRule(maximum: 20)]) == [])
        #expect(try chosen(records, [PruneRule(maximum: 19)]) == ["2"])
        #expect(try chosen(records, [PruneRule(all: true)]) == ["2"])
    }

    @Test func aLayerGoesAfterThoseAboveIt() throws {
        // The base was stamped less recently than what stands on it, and once was not stamped at all.
        let records = [
            layer(1, days: 50), layer(2, on: [1], days: 1), layer(3, on: [1], days: 40), layer(4, on: [3], days: 9),
        ]
        #expect(try chosen(records, [PruneRule()]) == ["4", "3", "2", "1"])
        #expect(try chosen(records, [PruneRule(maximum: 30)]) == ["4"])
        #expect(try chosen(records, [PruneRule(filters: [UsageFilter("id==1")])]) == [])
        #expect(try chosen(records, [PruneRule(filters: [UsageFilter("id==4")])]) == ["4"])
        #expect(try chosen(records, [PruneRule(keepDuration: 10 * 86400)]) == [])
        #expect(try chosen(records, [PruneRule(keepDuration: 9 * 86400)]) == ["4", "3"])
        var shared = records
        shared[3].isShared = true
        #expect(try chosen(shared, [PruneRule()]) == ["2"])
    }

    @Test func circlesStayAndHarmNobody() throws {
        let records = [layer(1, on: [2], days: 9), layer(2, on: [1], days: 9), layer(3, days: 1)]
        #expect(try chosen(records, [PruneRule()]) == ["3"])
    }

    @Test func whatNothingLeadsToGoesFirst() throws {
        var records = [layer(1, days: 90), layer(2, days: 1), cheap("blob", .internal, 10, days: 0)]
        records[1].isDangling = true
        records[2].isDangling = true
        #expect(try chosen(records, [PruneRule(maximum: 25)]) == ["2"])
        #expect(try chosen(records, [PruneRule(onlyDangling: true)]) == ["2", "blob"])
        records[1].isInUse = true
        #expect(try chosen(records, [PruneRule(onlyDangling: true)]) == ["blob"])
    }

    @Test func internalDataOnlyOnRequest() throws {
        let records = [cheap("web", .internal, 10, days: 50), cheap("ctx", .local, 10, days: 40), layer(1)]
        #expect(try chosen(records, [PruneRule()]) == ["ctx", "1"])
        #expect(try chosen(records, [PruneRule(all: true)]) == ["web", "ctx", "1"])
        #expect(try chosen(records, [PruneRule(filters: [UsageFilter("type==internal")])]) == [])
        #expect(try chosen(records, [PruneRule(filters: [UsageFilter("type==internal")], all: true)]) == ["web"])
    }

    @Test func rulesFollowEachOther() throws {
        let records = [
            cheap("go", .cacheMount, 300, days: 5), cheap("git", .gitMirror, 300, days: 1), layer(1, 300, days: 70),
            layer(2, 300, days: 30), cheap("web", .internal, 300, days: 99),
        ]
        var settings = SpaceSettings()
        settings.maximum = .bytes(700)
        settings.reserved = .bytes(100)
        let disk = FileSystemSpace(total: 10_000, free: 5000)
        var rules = settings.rules(on: disk)
        // In bytes rather than half a gigabyte.
        rules[0].maximum = 512
        let choices = try PrunePolicy.choose(records, rules, disk: disk, now: now)
        #expect(choices.map { records[$0.record].id } == ["go", "1", "2"])
        #expect(choices.map(\.rule) == [0, 1, 2])
        #expect(try PrunePolicy.choose(Array(records[1...2]), rules, disk: disk, now: now).isEmpty)
    }

    @Test(
        arguments: [
            (50_000_000_000, [5_000_000_000, 38_000_000_000, 10_000_000_000]),
            (1_000_000_000_000, [10_000_000_000, 100_000_000_000, 187_000_000_000]),
            (0, [2_000_000_000, 2_000_000_000, 2_000_000_000]),
        ] as [(Int64, [Int64])]
    )
    func defaultsComeFromTheDisk(total: Int64, limits: [Int64]) {
        let disk = FileSystemSpace(total: total, free: total)
        #expect(SpaceSettings().limits(on: disk).map(\.bytes) == limits)
    }

    @Test(arguments: [SpaceAmount.bytes(0), .percent(0)])
    func limitsOfZeroAreNone(zero: SpaceAmount) {
        let disk = FileSystemSpace(total: 50_000_000_000, free: 20_000_000_000)
        var settings = SpaceSettings()
        settings.maximum = zero
        settings.reserved = zero
        settings.minimumFree = zero
        #expect(settings.rules(on: disk) == SpaceSettings().rules(on: disk))
        #expect(settings.limits(on: disk) == SpaceSettings().limits(on: disk))
        settings.maximum = .bytes(700)
        #expect(settings.limits(on: disk).map(\.bytes) == [0, 700, 0])
    }

    @Test(arguments: [
        (["--min-free-space", "0"], false), (["--min-free-space", "0%", "--until", "1h"], false),
        (["--min-free-space", "0", "--max-used-space", "1GB"], true), (["--max-used-space", "0"], true),
        (["--min-free-space", "1"], true), (["--min-free-space", "0", "--max-used-space", "0"], false),
    ])
    func aPruneOfNothingIsRefused(options: [String], isValid: Bool) throws {
        let command = try #require(try GalleyCommand.parseAsRoot(["prune"] + options) as? PruneCommand)
        #expect(isValid == ((try? command.request()) != nil))
    }

    @Test func explanationTellsWhatIsDueAndWhy() throws {
        let records = [layer(1, 600, days: 70), layer(2, 300, days: 3)]
        var settings = SpaceSettings()
        settings.maximum = .bytes(700)
        settings.source = "/etc/galley.toml"
        let disk = FileSystemSpace(total: 10_000, free: 5000)
        let rules = settings.rules(on: disk)
        var usage = StoreUsage(
            records: records,
            disk: disk,
            limits: settings.limits(on: disk),
            rules: rules,
            isAutomatic: true,
            source: settings.source,
            due: try PrunePolicy.choose(records, rules, disk: disk, now: now),
            next: 0
        )
        let text = PolicyExplanation(usage: usage, now: now).text
        for part in [
            "source.local, or exec.cachemount, or source.git.checkout, unused for 2 days, while the cache has more than 512MB",
            "maxUsedSpace: 700B (set in /etc/galley.toml)", "minFreeSpace: none (not set)",
            "The cache has 900B: 600B are due after the next build.",
            "1 (600B, regular): rule 2, last used 2 months ago",
        ] {
            #expect(text.contains(part), "\(part) in\n\(text)")
        }
        usage.due = []
        #expect(
            PolicyExplanation(usage: usage, now: now).text.contains("Next to go: 1 (600B, regular): last used 2 months")
        )
        usage.isAutomatic = false
        #expect(PolicyExplanation(usage: usage, now: now).text.hasPrefix("Nothing is removed after builds: gc = false"))
    }
}
