// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildCache
import LinuxSystem
import OCI

/// The files of one directory of a context, names in byte order. Closely packed, as there may be very many: an entry is
/// made of it when it is asked for.
struct ContextDirectory: RandomAccessCollection, Sendable {
    private struct Record {
        var status: FileStatus
        /// Where in `names` the name ends that begins where the one before ends.
        var nameEnd: Int
        var digest: Digest?
        var isSettled: Bool
        var isNew: Bool
    }

    private var records: [Record] = []
    private var names: [UInt8] = []
    /// By index.
    private var linkTargets: [Int: RawPath] = [:]

    /// - Parameters:
    ///   - count: how many files there will be, if that is known.
    ///   - nameBytes: of all their names.
    init(count: Int = 0, nameBytes: Int = 0) {
        records.reserveCapacity(count)
        names.reserveCapacity(nameBytes)
    }

    var startIndex: Int { 0 }
    var endIndex: Int { records.count }

    subscript(index: Int) -> ContextEntry {
        let record = records[index]
        return ContextEntry(
            name: RawPath(bytes: names[nameRange(index)]),
            status: record.status,
            digest: record.digest,
            linkTarget: linkTargets[index],
            isSettled: record.isSettled,
            isNew: record.isNew
        )
    }

    /// - Parameter entry: its name is above all that are here.
    mutating func append(_ entry: ContextEntry) {
        names += entry.name.bytes
        if let target = entry.linkTarget { linkTargets[records.count] = target }
        records.append(
            Record(
                status: entry.status,
                nameEnd: names.count,
                digest: entry.digest,
                isSettled: entry.isSettled,
                isNew: entry.isNew
            )
        )
    }

    /// What was read of a file that was appended without its digest.
    mutating func setDigest(_ index: Int, _ digest: Digest, isNew: Bool) {
        records[index].digest = digest
        records[index].isNew = isNew
    }

    func index(of name: RawPath) -> Int? {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if names[nameRange(middle)].lexicographicallyPrecedes(name.bytes) {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low < count && names[nameRange(low)].elementsEqual(name.bytes) ? low : nil
    }

    /// The digest of a file whose content was read for this tree, to be remembered; nil for others.
    func newDigest(_ index: Int) -> FileDigests.Element? {
        guard records[index].isNew, let digest = records[index].digest else { return nil }
        return FileDigests.Element(FileFingerprint(records[index].status), digest)
    }

    private func nameRange(_ index: Int) -> Range<Int> {
        (index == 0 ? 0 : records[index - 1].nameEnd)..<records[index].nameEnd
    }
}
