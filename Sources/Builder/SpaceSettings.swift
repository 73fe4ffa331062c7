// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import LinuxSystem

/// A size as configurations and options write it.
public enum SpaceAmount: Hashable, Sendable {
    case bytes(Int64)
    /// Of the disk.
    case percent(Int64)

    /// As buildkitd reads it: `512000000`, `512MB` (binary units, as docker reads them) or `10%`. Nil for anything else.
    public init?(_ text: String) {
        if text.hasSuffix("%") {
            guard let percent = Int64(text.dropLast()), (0...100).contains(percent) else { return nil }
            self = .percent(percent)
            return
        }
        let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        guard !digits.isEmpty, digits.count <= 18, let number = Double(String(digits)), number.isFinite else {
            return nil
        }
        let unit = text[digits.endIndex...].drop { $0 == " " }.lowercased()
        guard
            let power = ["", "k", "m", "g", "t", "p"].firstIndex(where: { [$0, $0 + "b", $0 + "ib"].contains(unit) })
        else { return nil }
        let bytes = (0..<power).reduce(number) { value, _ in value * 1024 }
        guard bytes < 9e18 else { return nil }
        self = .bytes(Int64(bytes))
    }

    /// 0, which stands for no limit, as in buildkitd.toml.
    public var isZero: Bool { self == .bytes(0) || self == .percent(0) }

    /// A share of the disk is rounded up to whole gigabytes, as BuildKit does.
    public func bytes(of disk: FileSystemSpace) -> Int64 {
        switch self {
        case .bytes(let bytes): return bytes
        case .percent(0): return 0
        case .percent(let percent):
            if disk.total == 0 { return 2_000_000_000 }
            let share = Int64((Int128(disk.total) * Int128(percent)) / 100)
            return (share / (1 << 30) + 1) * 1_000_000_000
        }
    }
}

/// Reads a length of time as Go writes it (`48h`, `1h30m`, `90s`), or as plain seconds; days (`d`) and weeks (`w`) too.
/// Seconds, rounded up; nil for anything else.
public func durationSeconds(_ text: String) -> Int64? {
    if let seconds = Int64(text) { return seconds >= 0 ? seconds : nil }
    let units: [Substring: Double] = [
        "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604_800,
    ]
    var total = 0.0
    var rest = text[...]
    guard !rest.isEmpty else { return nil }
    while !rest.isEmpty {
        let digits = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        rest = rest[digits.endIndex...]
        let unit = rest.prefix { $0.isLetter }
        rest = rest[unit.endIndex...]
        guard !digits.isEmpty, digits.count <= 18, let number = Double(String(digits)), let scale = units[unit] else {
            return nil
        }
        total += number * scale
    }
    return total < 9e18 ? Int64(total.rounded(.up)) : nil
}

/// How much space the store may take, as galley.toml says: buildkitd's keys of `[worker.oci]`.
public struct SpaceSettings: Hashable, Sendable {
    /// A rule of `[[worker.oci.gcpolicy]]`.
    public struct Rule: Hashable, Sendable {
        public var filters: [UsageFilter] = []
        public var keepDuration: Int64 = 0
        public var reserved: SpaceAmount?
        public var maximum: SpaceAmount?
        public var minimumFree: SpaceAmount?
        public var all = false

        public init() {}
    }

    /// Whether the rules are applied after builds.
    public var isAutomatic = true
    public var reserved: SpaceAmount?
    public var maximum: SpaceAmount?
    public var minimumFree: SpaceAmount?
    /// In place of the rules that Galley has by itself.
    public var rules: [Rule] = []
    /// The file that says so.
    public var source: String?

    public init() {}

    /// Limits of 0 are none: with nothing else, Galley's own hold.
    var hasLimits: Bool { [reserved, maximum, minimumFree].contains { $0?.isZero == false } }

    /// What the limits come to on a disk, and where each comes from.
    public func limits(on disk: FileSystemSpace) -> [SpaceLimit] {
        func limit(
            _ name: String,
            _ configured: SpaceAmount?,
            _ percent: Int64,
            _ most: Int64,
            _ meaning: String
        ) -> SpaceLimit {
            if hasLimits {
                guard let configured else {
                    return SpaceLimit(name: name, bytes: 0, origin: "not set", meaning: meaning)
                }
                let share = if case .percent(let percent) = configured { "\(percent)% of the disk, " } else { "" }
                return SpaceLimit(
                    name: name,
                    bytes: configured.bytes(of: disk),
                    origin: share + (source.map { "set in \($0)" } ?? "set"),
                    meaning: meaning
                )
            }
            let share = SpaceAmount.percent(percent).bytes(of: disk)
            return SpaceLimit(
                name: name,
                bytes: min(share, most),
                origin: share <= most ? "default: \(percent)% of the disk" : "default",
                meaning: meaning
            )
        }
        // As BuildKit's defaults.
        return [
            limit("reservedSpace", reserved, 10, 10_000_000_000, "the cache is never pruned below it"),
            limit("maxUsedSpace", maximum, 80, 100_000_000_000, "the cache is pruned down to it"),
            limit("minFreeSpace", minimumFree, 20, .max, "the cache is pruned until so much of the disk is free"),
        ]
    }

    /// The rules in their order, for a disk.
    public func rules(on disk: FileSystemSpace) -> [PruneRule] {
        if !rules.isEmpty {
            return rules.map { rule in
                PruneRule(
                    filters: rule.filters,
                    keepDuration: rule.keepDuration,
                    reserved: rule.reserved?.bytes(of: disk) ?? 0,
                    maximum: rule.maximum?.bytes(of: disk) ?? 0,
                    minimumFree: rule.minimumFree?.bytes(of: disk) ?? 0,
                    all: rule.all
                )
            }
        }
        let limits = limits(on: disk).map(\.bytes)
        func rule(keepDuration: Int64 = 0, all: Bool = false) -> PruneRule {
            PruneRule(
                keepDuration: keepDuration,
                reserved: limits[0],
                maximum: limits[1],
                minimumFree: limits[2],
                all: all
            )
        }
        let cheap: [UsageRecord.Kind] = [.local, .cacheMount, .gitMirror]
        return [
            // What is made again most easily.
            PruneRule(
                filters: cheap.map {
                    UsageFilter(terms: [.init(field: .type, comparison: .equal, value: $0.rawValue)])
                },
                keepDuration: 48 * 3600,
                maximum: 512_000_000
            ),
            rule(keepDuration: 60 * 24 * 3600),
            rule(),
            rule(all: true),
        ]
    }
}

/// One of the limits, in bytes of one disk.
public struct SpaceLimit: Hashable, Sendable {
    /// As in galley.toml.
    public var name: String
    /// 0 for no limit.
    public var bytes: Int64
    /// Who says so.
    public var origin: String
    public var meaning: String
}
