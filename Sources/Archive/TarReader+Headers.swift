// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem

/// What long-name and extended headers said about the entry that follows them.
struct PendingAttributes {
    var pax = PaxRecords()
    var longName: [UInt8]?
    var longLink: [UInt8]?
    var isEmpty = true
}

/// The entry whose data is being read.
struct CurrentEntry {
    var entry = TarEntry(path: "", metadata: EntryMetadata(.directory))
    var isSparse = false
    var map = SparseMap()
    var lineParser = SparseLineParser()
    /// Data bytes in the archive.
    var stored: Int64 = 0
    /// Of a type that has no data but declares some.
    var discards = false
    var region = 0
    /// In the file, holes counted.
    var position: Int64 = 0
}

extension TarReader {
    mutating func handleHeader(_ header: TarHeader, _ visitor: inout some TarVisitor) throws {
        switch header.typeflag {
        case UInt8(ascii: "x"), UInt8(ascii: "X"): try beginMetadata(.pax, header, limit: PaxRecords.limit)
        case UInt8(ascii: "g"): try beginMetadata(.globalPax, header, limit: PaxRecords.limit)
        case UInt8(ascii: "L"): try beginMetadata(.longName, header, limit: Self.pathLimit + 1)
        case UInt8(ascii: "K"): try beginMetadata(.longLink, header, limit: Self.pathLimit + 1)
        default: try beginEntry(header, &visitor)
        }
    }

    private mutating func beginMetadata(_ kind: MetadataKind, _ header: TarHeader, limit: Int) throws(ArchiveError) {
        guard (0...Int64(limit)).contains(header.size) else {
            throw ArchiveError(.tooLarge, "an extended header declares \(header.size) bytes; the limit is \(limit)")
        }
        collected.removeAll(keepingCapacity: true)
        state = .metadata(kind, left: Int(header.size), padding: Self.padding(header.size))
        if header.size == 0 {
            state = .header
            try finishMetadata(kind)
        }
    }

    mutating func finishMetadata(_ kind: MetadataKind) throws(ArchiveError) {
        switch kind {
        case .globalPax:
            try globals.merge(PaxRecords(parsing: collected))
            return
        case .pax: pending.pax = try PaxRecords(parsing: collected)
        case .longName: pending.longName = Array(collected.prefix { $0 != 0 })
        case .longLink: pending.longLink = Array(collected.prefix { $0 != 0 })
        }
        pending.isEmpty = false
    }

    private mutating func beginEntry(_ header: TarHeader, _ visitor: inout some TarVisitor) throws {
        var attributes = EntryAttributes(header)
        if let name = pending.longName { attributes.path = name }
        if let link = pending.longLink { attributes.linkTarget = link }
        try attributes.apply(globals, global: true)
        try attributes.apply(pending.pax, global: false)
        pending = PendingAttributes()

        current = CurrentEntry()
        let kind = try attributes.resolve(into: &current)
        current.entry = try attributes.entry(kind)
        if header.sparseContinues, current.isSparse {
            state = .sparseExtension
        } else if attributes.sparseLines {
            state = .sparseLines
        } else {
            try beginData(&visitor)
        }
    }

    /// The header is complete: announces the entry and waits for its data.
    mutating func beginData(_ visitor: inout some TarVisitor) throws {
        if current.isSparse { try current.map.validate(stored: current.stored) }
        // The state first: a visitor that throws leaves a consistent reader.
        let padding = Self.padding(current.stored)
        state = .data(left: current.stored, padding: padding)
        try visitor.visitEntry(current.entry)
        if current.stored == 0 { try finishEntry(padding: 0, &visitor) }
    }

    mutating func deliver(_ bytes: UnsafeRawBufferPointer, to visitor: inout some TarVisitor) throws {
        if current.discards { return }
        guard current.isSparse else { return try visitor.visitData(bytes) }
        var rest = bytes
        while !rest.isEmpty, current.region < current.map.regions.count {
            let region = current.map.regions[current.region]
            try fillHole(upTo: region.offset, &visitor)
            let left = region.offset + region.length - current.position
            let part = UnsafeRawBufferPointer(rebasing: rest.prefix(Int(clamping: left)))
            if !part.isEmpty { try visitor.visitData(part) }
            current.position += Int64(part.count)
            rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(part.count))
            if Int64(part.count) == left { current.region += 1 }
        }
    }

    private mutating func fillHole(upTo offset: Int64, _ visitor: inout some TarVisitor) throws {
        guard offset > current.position else { return }
        try visitor.visitHole(offset - current.position)
        current.position = offset
    }

    mutating func finishEntry(padding: Int, _ visitor: inout some TarVisitor) throws {
        if current.isSparse { try fillHole(upTo: current.map.realSize, &visitor) }
        state = padding > 0 ? .padding(left: padding) : .header
        try visitor.visitEnd()
    }
}
