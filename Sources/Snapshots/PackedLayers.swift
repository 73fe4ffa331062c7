// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import Content
public import LinuxSystem
import OCI

// A layer that nobody has looked into since it was made may be there as its archive: `layer.tar`, and in `root` what the
// archive does not say of the root directory. The first who asks for its directory gets it unpacked into `fs`, and the
// archive goes.
//
// Which of the two counts is told by the layer's mark, so that it changes with the commit of a transaction. An archive
// that counts no more, and a directory that does not yet, are removed by the next who unpacks.

/// As what a layer is in the store.
enum LayerForm {
    case directory(FileStatus)
    case archive(FileStatus)

    /// Of the root directory, or of the archive.
    var status: FileStatus {
        switch self {
        case .directory(let status), .archive(let status): status
        }
    }
}

extension OverlaySnapshotter {
    func archivePath(of id: SnapshotID) -> RawPath { snapshotsPath.appending("\(id)").appending("layer.tar") }

    private func rootPath(of id: SnapshotID) -> RawPath { snapshotsPath.appending("\(id)").appending("root") }

    /// Nil when the layer is gone. While there are both forms the one that the mark is of counts, and without a mark the
    /// archive.
    func form(of id: SnapshotID, _ mark: LayerMark?) throws -> LayerForm? {
        let directory = try statusIfPresent(at: workingDirectory, path(of: id)).flatMap { status in
            status.kind == .directory ? status : nil
        }
        if let directory, mark?.fits(directory) == true { return .directory(directory) }
        let archive = try statusIfPresent(at: workingDirectory, archivePath(of: id))
        guard let archive, archive.kind == .regular, directory == nil || mark?.fits(archive) ?? true,
            try statusIfPresent(at: workingDirectory, rootPath(of: id)) != nil
        else { return directory.map(LayerForm.directory) }
        return .archive(archive)
    }

    private func mark(of id: SnapshotID) throws -> LayerMark? {
        try database.read {
            try $0.query("SELECT root FROM snapshots WHERE id = ?", [.integer(id.rawValue)]).first?.text(0)
        }.flatMap(LayerMark.init)
    }

    /// The diffID that the layer's archive has now; nil when the layer is there as a directory.
    func packedDiffID(of id: SnapshotID, _ checkCancellation: () throws -> Void) throws -> DiffID? {
        guard case .archive? = try form(of: id, mark(of: id)), let archive = try packedArchive(of: id) else {
            return nil
        }
        var hasher = Digest.Hasher()
        try readPieces(archive.raw) { bytes in
            try checkCancellation()
            hasher.update(bytes)
        }
        return DiffID(hasher.finalize())
    }

    /// The layer's archive, when that is what the store has of it; an uncompressed tar that has the layer's diffID as long
    /// as nobody wrote to it.
    public func packedArchive(of id: SnapshotID) throws -> SharedFD? {
        do throws(SystemError) {
            return try open(archivePath(of: id), [.readOnly, .noFollow]).shared()
        } catch {
            if error.isNotFound { return nil }
            throw error
        }
    }

    /// Makes a layer that is there as its archive a directory. Whoever wants the same waits.
    func unpack(_ id: SnapshotID) throws {
        // The lock goes with the file that is removed in the end; who waited for it finds that out.
        guard let lock = try FileLock(ifPresent: archivePath(of: id)) else { return }
        try withExtendedLifetime(lock) {
            guard let archive = try packedArchive(of: id), lock.inode == (try status(of: archive.raw).inode) else {
                return
            }
            let mark = try mark(of: id)
            switch try form(of: id, mark) {
            case .archive?: break
            case .directory(let status)? where mark?.fits(status) == true: return try removeArchive(of: id)
            case .directory?, nil:
                // A directory that never counted does not take the place of an archive that was changed.
                throw damaged(id, "its archive was changed")
            }
            let unpacked = try unpack(archive, of: id)
            do {
                try copyMetadata(of: id, to: unpacked.pending)
                try replaceArchive(of: id, unpacked.pending)
            } catch {
                unpacked.pending.discard()
                throw error
            }
            unpacked.pending.discard()
            try removeArchive(of: id)
        }
    }

    private func unpack(_ archive: SharedFD, of id: SnapshotID) throws -> UnpackedLayer {
        guard let diffID = try diffID(of: id) else { throw goneWhileUsed(id) }
        do {
            return try UnpackedLayer.unpack(diffID, into: self) { write in
                try readPieces(archive.raw) { try write($0) }
            }
        } catch let error as SnapshotError where error.code == .badLayer {
            // It may be that only this machine cannot have such files, or not now.
            if try packedDiffID(of: id, {}) == diffID {
                throw SnapshotError(.badLayer, "layer \(id) of the store: \(error.message)", nextStep: error.nextStep)
            }
            throw damaged(id, error.message)
        }
    }

    private func damaged(_ id: SnapshotID, _ problem: String) -> SnapshotError {
        SnapshotError(
            .missing,
            "layer \(id) of the store is damaged: \(problem)",
            nextStep: "run galley doctor --deep, then build again"
        )
    }

    private func copyMetadata(of id: SnapshotID, to pending: PendingSnapshot) throws {
        let directory = try unlessGone(id) { () throws(SystemError) in
            try open(rootPath(of: id), [.directory, .noFollow]).shared()
        }
        try copyRootMetadata(from: directory.raw, to: pending)
    }

    /// All of the directory is on disk before it counts: meanwhile somebody may have reported the layer as done, and the
    /// archive goes.
    private func replaceArchive(of id: SnapshotID, _ pending: PendingSnapshot) throws {
        try removeTree(path(of: id))
        try unlessGone(id) { () throws(SystemError) in
            try renameFile(pending.directoryPath, to: workingDirectory, path(of: id))
        }
        let directory = try open(root.path, [.directory])
        try syncFileSystem(directory.raw)
        let mark = LayerMark(try status(of: pending.directory.raw))
        try database.writeDurably { transaction in
            try transaction.execute(
                "UPDATE snapshots SET root = ?, disk = NULL WHERE id = ?",
                [.text(mark.description), .integer(id.rawValue)]
            )
            guard transaction.changes == 1 else { throw goneWhileUsed(id) }
        }
    }

    private func removeArchive(of id: SnapshotID) throws {
        do throws(SystemError) {
            try removeTree(rootPath(of: id))
            try removeFile(at: workingDirectory, archivePath(of: id))
        } catch {
            if !error.isNotFound { throw error }
        }
    }

    private func unlessGone<R>(_ id: SnapshotID, _ body: () throws(SystemError) -> R) throws -> R {
        do throws(SystemError) {
            return try body()
        } catch {
            throw error.isNotFound ? goneWhileUsed(id) : error
        }
    }

    func goneWhileUsed(_ id: SnapshotID) -> SnapshotError {
        SnapshotError(
            .missing,
            "layer \(id) was removed from the store while it was used",
            nextStep: "build or pull again"
        )
    }
}
