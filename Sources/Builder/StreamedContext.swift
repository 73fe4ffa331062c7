// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import Glibc
import LinuxSystem

/// A build context that arrives on a descriptor: a tar archive, compressed or not, or a Dockerfile alone.
struct StreamedContext: Sendable {
    enum Content: Sendable {
        /// It was unpacked.
        case archive
        case dockerfile([UInt8])
    }

    private let stream: SharedFD

    init(_ stream: SharedFD) { self.stream = stream }

    /// Reads to the end.
    func load(into directory: RawPath) async throws -> Content {
        try await cancellableBlocking { cancellation in
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
            defer { buffer.deallocate() }
            var start: [UInt8] = []
            while start.count < Compression.prefixLength {
                let count = try read(into: buffer, cancellation)
                if count == 0 { break }
                start += buffer[..<count]
            }
            guard let compression = Compression.detect(start) else {
                return .dockerfile(try text(start, buffer, cancellation))
            }
            try unpack(compression, start, into: directory, buffer, cancellation)
            return .archive
        }
    }

    /// Whether a file begins as an archive does; reads from its start and goes back there.
    static func isArchive(_ fd: CInt) throws -> Bool {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1024, alignment: 16)
        defer { buffer.deallocate() }
        let count = try readBytes(fd, into: buffer)
        try seek(fd, to: 0)
        return Compression.detect(UnsafeRawBufferPointer(rebasing: buffer[..<count])) != nil
    }

    private func text(
        _ start: [UInt8],
        _ buffer: UnsafeMutableRawBufferPointer,
        _ cancellation: CancellationFlag
    ) throws -> [UInt8] {
        var bytes = start
        while true {
            let count = try read(into: buffer, cancellation)
            if count == 0 { return bytes }
            bytes += buffer[..<count]
            guard bytes.count <= RecipeReader.limit else {
                throw BuilderError(
                    .invalidRequest,
                    "standard input is neither a tar archive nor a Dockerfile: it has more than "
                        + "\(RecipeReader.limit >> 20) MiB"
                )
            }
        }
    }

    private func unpack(
        _ compression: Compression,
        _ start: [UInt8],
        into directory: RawPath,
        _ buffer: UnsafeMutableRawBufferPointer,
        _ cancellation: CancellationFlag
    ) throws {
        do {
            let root = try open(directory, [.directory])
            // As in a directory of the user's, owners do not count, and devices could not be sent either.
            let extractor = ArchiveExtractor(into: root.raw, owner: (0, 0), devices: .skip)
            let decompressor = try Decompressor(compression) { try extractor.write($0) }
            try start.withUnsafeBytes { try decompressor.write($0) }
            while true {
                let count = try read(into: buffer, cancellation)
                if count == 0 { break }
                try decompressor.write(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            }
            try decompressor.finish()
            _ = try extractor.finish()
        } catch let error as ArchiveError where error.code != .system {
            throw BuilderError(
                .invalidRequest,
                "cannot unpack the build context: \(error)",
                nextStep: "standard input must be a whole tar archive; check what wrote it"
            )
        }
    }

    private func read(
        into buffer: UnsafeMutableRawBufferPointer,
        _ cancellation: CancellationFlag
    ) throws -> Int {
        try waitForBytes(stream.raw, cancellation)
        return try readBytes(stream.raw, into: buffer)
    }
}
