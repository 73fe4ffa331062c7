// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
public import LinuxSystem

/// Where an export's bytes go.
public enum ExportDestination: Hashable, Sendable {
    case file(RawPath)
    /// An open descriptor that cannot seek, such as standard output; it stays the caller's.
    case descriptor(CInt)
}

/// A destination being written. A regular file appears under its name when it is complete, and not at all otherwise:
/// until then it has no name (`O_TMPFILE`), so that even a killed process leaves nothing. Where the name is taken, or files
/// must have one, there is a temporary one; what a killed process left under such a name goes with the next output.
///
/// Used by one thread.
final class OutputFile {
    private enum Target {
        /// The file to be, its directory and its name; `temporary` is its name where files must have one.
        case named(directory: SharedFD, name: RawPath, temporary: RawPath?)
        case stream
    }

    private let owned: SharedFD?
    private let raw: CInt
    private let target: Target
    private let path: String
    private var isFinished = false
    private(set) var position: Int64 = 0

    init(_ destination: ExportDestination) throws {
        switch destination {
        case .descriptor(let fd):
            (owned, raw, target, path) = (nil, fd, .stream, "the output")
        case .file(let file):
            path = file.description
            do {
                (owned, target) = try Self.open(file)
            } catch {
                throw Self.failure(error, path)
            }
            raw = owned?.raw ?? -1
        }
    }

    deinit {
        if !isFinished, case .named(let directory, _, let temporary?) = target {
            try? removeFile(at: directory.raw, temporary)
        }
    }

    /// Whether bytes that were written can be written again.
    var isSeekable: Bool { if case .named = target { true } else { false } }

    func write(_ bytes: UnsafeRawBufferPointer) throws {
        do { try writeBytes(raw, bytes) } catch { throw Self.failure(error, path) }
        position += Int64(bytes.count)
    }

    func write(_ bytes: [UInt8]) throws { try bytes.withUnsafeBytes { try write($0) } }

    /// Writes over what is at `offset`.
    func patch(_ bytes: [UInt8], at offset: Int64) throws {
        do throws(SystemError) {
            try seek(raw, to: offset)
            try writeBytes(raw, bytes)
            try seek(raw, to: position)
        } catch {
            throw Self.failure(error, path)
        }
    }

    /// Forgets what was written after `offset`.
    func truncate(to offset: Int64) throws {
        do throws(SystemError) {
            try setSize(raw, offset)
            try seek(raw, to: offset)
        } catch {
            throw Self.failure(error, path)
        }
        position = offset
    }

    /// Gives the file its name.
    func finish() throws {
        guard case .named(let directory, let name, let temporary) = target else {
            isFinished = true
            return
        }
        do throws(SystemError) {
            if let temporary {
                try renameFile(at: directory.raw, temporary, to: directory.raw, name)
            } else {
                // A link cannot replace a file, a rename can.
                let link = Self.temporaryName(name)
                try makeHardLink(of: raw, to: directory.raw, link)
                do throws(SystemError) {
                    try renameFile(at: directory.raw, link, to: directory.raw, name)
                } catch {
                    try? removeFile(at: directory.raw, link)
                    throw error
                }
            }
        } catch {
            throw Self.failure(error, path)
        }
        isFinished = true
    }

    private static func open(_ file: RawPath) throws(SystemError) -> (SharedFD, Target) {
        let existing = try statusIfPresent(at: workingDirectory, file, following: true)
        if let existing, existing.kind != .regular {
            guard existing.kind != .directory else {
                throw SystemError(errno: EISDIR, operation: "open", path: file.description)
            }
            return (try LinuxSystem.open(file, .writeOnly).shared(), .stream)
        }
        let (parent, name) = split(file)
        let directory = try LinuxSystem.open(parent, [.directory]).shared()
        removeLeftovers(of: name, in: directory)
        var made = try create(name, in: directory)
        // What has no name yet gets one for a moment when it is finished.
        if made.1 == nil { _ = lockFile(made.0.raw) }
        // The lock tells those that look for leftovers that somebody is at work. One of them may have been faster.
        for _ in 0..<3 {
            guard let temporary = made.1 else { break }
            if lockFile(made.0.raw), try status(of: made.0.raw).links > 0 { break }
            try? removeFile(at: directory.raw, temporary)
            made = try create(name, in: directory)
        }
        return (made.0, .named(directory: directory, name: name, temporary: made.1))
    }

    /// Files with temporary names of this output whose writers are gone.
    private static func removeLeftovers(of name: RawPath, in directory: SharedFD) {
        let prefix = temporaryPrefix(name).bytes
        for entry in (try? readDirectory(directory.raw)) ?? [] where entry.name.bytes.starts(with: prefix) {
            let rest = entry.name.bytes.dropFirst(prefix.count)
            guard !rest.isEmpty, rest.allSatisfy({ (0x30...0x39).contains($0) }),
                let fd = try? LinuxSystem.open(at: directory.raw, entry.name, [.readOnly, .noFollow, .nonBlocking]),
                (try? status(of: fd.raw))?.kind == .regular, lockFile(fd.raw)
            else { continue }
            try? removeFile(at: directory.raw, entry.name)
        }
    }

    /// - Returns: the file, and its temporary name if it has one.
    private static func create(
        _ name: RawPath,
        in directory: SharedFD
    ) throws(SystemError) -> (SharedFD, RawPath?) {
        do throws(SystemError) {
            // O_TMPFILE, without the O_DIRECTORY bit that belongs to it.
            let unnamed: OpenFlags = [.readWrite, .directory, OpenFlags(rawValue: 0o20000000)]
            return (try LinuxSystem.open(at: directory.raw, ".", unnamed, mode: 0o666).shared(), nil)
        } catch {
            guard error.errno == EOPNOTSUPP || error.errno == EISDIR || error.errno == ENOENT else { throw error }
        }
        let temporary = temporaryName(name)
        return (
            try LinuxSystem.open(at: directory.raw, temporary, [.readWrite, .create, .exclusive]).shared(), temporary
        )
    }

    private static func temporaryPrefix(_ name: RawPath) -> RawPath {
        RawPath(bytes: Array(".".utf8) + name.bytes.prefix(200) + Array(".galley-".utf8))
    }

    private static func temporaryName(_ name: RawPath) -> RawPath {
        RawPath(bytes: temporaryPrefix(name).bytes + Array("\(UInt64.random(in: 0 ... .max))".utf8))
    }

    private static func split(_ file: RawPath) -> (parent: RawPath, name: RawPath) {
        guard let slash = file.bytes.lastIndex(of: UInt8(ascii: "/")) else { return (".", file) }
        let parent = RawPath(bytes: file.bytes[...slash])
        return (parent, RawPath(bytes: file.bytes[(slash + 1)...]))
    }

    static func failure(_ error: any Error, _ path: String) -> any Error {
        guard let error = error as? SystemError else { return error }
        if error.isDiskFull {
            return ExportError(
                .diskFull,
                "cannot write \(path): the disk is full",
                nextStep: "free space there or choose another dest="
            )
        }
        return ExportError(.destination, "cannot write \(path): \(error.reason)")
    }
}
