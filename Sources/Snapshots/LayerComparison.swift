// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import LinuxSystem

/// A file that two layers have differently.
public struct FileDifference: Hashable, Sendable {
    /// From the root, without leading slash.
    public var path: RawPath
    /// What differs, like `mode 644 and 755`; never empty.
    public var aspects: [String]
    /// Whether the time of the file is all that differs.
    public var isOnlyTime: Bool
}

/// What two layers have differently, as their archives would.
public struct LayerComparison: Hashable, Sendable {
    /// In the order of the archive; nil when the layers are alike.
    public var first: FileDifference?
    /// The first that differs in more than its time.
    public var firstBeyondTime: FileDifference?
    /// How many files differ, and how many of them in nothing but their time.
    public var count = 0
    public var timeOnlyCount = 0
}

extension OverlaySnapshotter {
    /// Compares all that the archives of two layers hold. Blocks.
    ///
    /// - Parameter epoch: times later than this count as this; nil compares them as they are.
    public func compare(
        _ one: SnapshotID,
        _ other: SnapshotID,
        epoch: FileTime?,
        _ cancellation: CancellationFlag
    ) throws -> LayerComparison {
        let directories = (try layerDirectory(one), try layerDirectory(other))
        let records = (
            try LayerRecord.read(directories.0, epoch, cancellation),
            try LayerRecord.read(directories.1, epoch, cancellation)
        )
        var result = LayerComparison()
        for path in Set(records.0.entries.keys).union(records.1.entries.keys).sorted() {
            let entries = (records.0.entries[path], records.1.entries[path])
            if entries.0 == entries.1 { continue }
            let difference = try entries.0.difference(from: entries.1, at: path, directories)
            result.count += 1
            if result.first == nil { result.first = difference }
            if difference.isOnlyTime {
                result.timeOnlyCount += 1
            } else if result.firstBeyondTime == nil {
                result.firstBeyondTime = difference
            }
        }
        return result
    }
}
