// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildCache
import OCI

/// What a scan finds in the digests that are remembered.
struct DigestRecall: Sendable {
    let known: FileDigests
    /// How many of them were found.
    private(set) var foundCount = 0
    /// One bit for each.
    private var found: [UInt64]
    private var next = 0

    init(_ known: FileDigests) {
        self.known = known
        found = Array(repeating: 0, count: (known.count + 63) / 64)
    }

    mutating func digest(of fingerprint: FileFingerprint) -> Digest? {
        guard let index = known.index(of: fingerprint, near: next) else { return nil }
        next = index + 1
        if !wasFound(index) {
            found[index / 64] |= 1 << UInt64(index % 64)
            foundCount += 1
        }
        return known[index].digest
    }

    func wasFound(_ index: Int) -> Bool { found[index / 64] >> UInt64(index % 64) & 1 == 1 }
}

/// What is remembered for the next scan, in ascending order: what this one found and read, and what other builds of the
/// same directory did, as long as that is not mostly of files that are gone.
///
/// Made while it is written down, as it may be large.
struct DigestsToKeep<New: RandomAccessCollection<FileDigests.Element>>: Sequence, IteratorProtocol {
    private let recall: DigestRecall
    private let new: New
    private let keepsUnfound: Bool
    private var nextKnown = 0
    private var nextNew: New.Index

    /// - Parameters:
    ///   - new: what was read, in ascending order; one file may be there several times.
    ///   - sawEverything: whether whatever was not found is gone.
    init(_ recall: DigestRecall, new: New, sawEverything: Bool) {
        self.recall = recall
        self.new = new
        keepsUnfound = !sawEverything && recall.known.count + new.count <= 10_000 + 4 * (recall.foundCount + new.count)
        nextNew = new.startIndex
    }

    /// False when it is what is remembered already.
    var isNews: Bool { !new.isEmpty || !keepsUnfound && recall.foundCount < recall.known.count }

    mutating func next() -> FileDigests.Element? {
        while !keepsUnfound, nextKnown < recall.known.count, !recall.wasFound(nextKnown) { nextKnown += 1 }
        let known = nextKnown < recall.known.count ? recall.known[nextKnown] : nil
        guard nextNew < new.endIndex else {
            nextKnown += 1
            return known
        }
        let read = new[nextNew]
        if let known, known.fingerprint < read.fingerprint {
            nextKnown += 1
            return known
        }
        // What was read just now is what holds.
        if known?.fingerprint == read.fingerprint { nextKnown += 1 }
        while nextNew < new.endIndex, new[nextNew].fingerprint == read.fingerprint { new.formIndex(after: &nextNew) }
        return read
    }
}

/// The digests of the files that were read for a tree, in ascending order: where they are in it.
struct NewDigests: RandomAccessCollection {
    private struct Place {
        var inode: UInt64
        var directory: Int
        var index: Int
    }

    private let directories: [ContextDirectory]
    private let places: [Place]

    init(_ tree: ContextTree) {
        let directories = Array(tree.directories.values)
        var places: [Place] = []
        for (number, directory) in directories.enumerated() {
            for index in directory.indices {
                guard let inode = directory.newDigest(index)?.fingerprint.inode else { continue }
                places.append(Place(inode: inode, directory: number, index: index))
            }
        }
        func fingerprint(_ place: Place) -> FileFingerprint? {
            directories[place.directory].newDigest(place.index)?.fingerprint
        }
        places.sort { a, b in
            if a.inode != b.inode { return a.inode < b.inode }
            guard let a = fingerprint(a), let b = fingerprint(b) else { return false }
            return a < b
        }
        self.directories = directories
        self.places = places
    }

    var startIndex: Int { 0 }
    var endIndex: Int { places.count }

    subscript(index: Int) -> FileDigests.Element {
        guard let element = directories[places[index].directory].newDigest(places[index].index) else {
            preconditionFailure("only new digests have a place")
        }
        return element
    }
}
