// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import Content
import Glibc
public import LinuxSystem
import OCI

/// One directory per layer below `snapshots/`, put together by overlayfs.
public final class OverlaySnapshotter: Snapshotter {
    public static let schema = DatabaseSchema(
        name: "snapshots",
        steps: [
            """
            CREATE TABLE snapshots (
                id INTEGER PRIMARY KEY AUTOINCREMENT, diff_id TEXT, size INTEGER, created INTEGER NOT NULL,
                used INTEGER NOT NULL);
            CREATE TABLE chains (chain_id TEXT PRIMARY KEY, snapshot INTEGER NOT NULL) WITHOUT ROWID;
            CREATE INDEX chains_snapshot ON chains(snapshot);
            """,
            """
            CREATE TABLE rewritten_layers (
                snapshot INTEGER NOT NULL REFERENCES snapshots(id) ON DELETE CASCADE, epoch INTEGER NOT NULL,
                diff_id TEXT NOT NULL, tree INTEGER REFERENCES snapshots(id) ON DELETE SET NULL,
                PRIMARY KEY (snapshot, epoch)) WITHOUT ROWID;
            CREATE INDEX rewritten_layers_tree ON rewritten_layers(tree);
            """,
            """
            ALTER TABLE snapshots ADD COLUMN twin INTEGER;
            ALTER TABLE snapshots ADD COLUMN origin TEXT;
            CREATE INDEX snapshots_twin ON snapshots(twin);
            """,
            // The last use in nanoseconds since 1970; bytes on disk, once measured; how many processes used it.
            """
            ALTER TABLE snapshots ADD COLUMN disk INTEGER;
            ALTER TABLE snapshots ADD COLUMN uses INTEGER NOT NULL DEFAULT 1;
            UPDATE snapshots SET used = used * 1000000000;
            """,
            "ALTER TABLE snapshots ADD COLUMN root TEXT",
            // What was computed of a layer when it was first compared with another.
            """
            DROP INDEX snapshots_twin;
            ALTER TABLE snapshots DROP COLUMN twin;
            UPDATE snapshots SET origin = NULL;
            ALTER TABLE snapshots ADD COLUMN outline TEXT;
            ALTER TABLE snapshots ADD COLUMN content TEXT;
            """,
        ]
    )

    let root: StoreRoot
    let database: MetadataDatabase
    public let flavour: OverlayFlavour
    /// What this process did.
    let counted = Monitor(Counted())

    struct Counted: Sendable {
        var used: Set<SnapshotID> = []
        var made = 0
        /// Layers that this process made or uses and that may not be on disk.
        var unsettled: Set<SnapshotID> = []
        /// Of layers that this process made in a tree that may still be mounted.
        var unmounting: [SnapshotID: Unmounting] = [:]
    }

    /// False makes every mount go through mount(2), as kernels before 6.5 need.
    private let usesDetachedMounts: Bool

    public init(
        _ root: StoreRoot,
        _ database: MetadataDatabase,
        flavour: OverlayFlavour = .current,
        usesDetachedMounts: Bool = true
    ) {
        self.root = root
        self.database = database
        self.flavour = flavour
        self.usesDetachedMounts = usesDetachedMounts
    }

    var snapshotsPath: RawPath { root.path.appending("snapshots") }

    func path(of id: SnapshotID) -> RawPath { snapshotsPath.appending("\(id)").appending("fs") }

    public func begin() throws -> PendingSnapshot {
        let path = try root.makeTemporaryDirectory("layer")
        do {
            try makeDirectory(path.appending("fs"), mode: 0o755)
            // The process's umask must not decide what a layer's root looks like.
            try setPermissions(at: workingDirectory, path.appending("fs"), 0o755)
            try makeDirectory(path.appending("work"), mode: 0o700)
            return PendingSnapshot(path: path, directory: try open(path.appending("fs"), [.directory]).shared())
        } catch {
            try? removeTree(path)
            throw error
        }
    }

    public func layerDirectory(_ id: SnapshotID) throws -> SharedFD {
        if try statusIfPresent(at: workingDirectory, archivePath(of: id)) != nil { try unpack(id) }
        do throws(SystemError) {
            return try open(path(of: id), [.directory, .noFollow]).shared()
        } catch {
            throw SnapshotError(
                .missing,
                "layer \(id) of the store cannot be opened: \(error)",
                nextStep: "run galley doctor, then build or pull again"
            )
        }
    }

    // MARK: Merging

    public func readTree(_ layers: [SnapshotID]) throws -> MergedTree {
        // Overlayfs hides the marks of removed files even of a single layer, and needs two directories to mount.
        let empty = try emptyDirectory()
        if layers.isEmpty { return MergedTree(root: empty) }
        let directories = try layers.reversed().map(layerDirectory) + [empty]
        return MergedTree(
            root: try mount(layers: layers, directories, changes: nil, stubs: nil)
        )
    }

    public func writableTree(
        _ layers: [SnapshotID],
        changes: PendingSnapshot,
        stubs: RawPath?
    ) throws -> MergedTree {
        var directories = try layers.reversed().map(layerDirectory)
        if let stubs { directories.append(try open(stubs, [.directory]).shared()) }
        if directories.isEmpty { directories.append(try emptyDirectory()) }
        try copyRootMetadata(from: layers, to: changes)
        changes.unmounting.finish()
        // The mark of a former mount of the same changes: "volatile" ones are not mounted twice without asking.
        try removeTree(changes.path.appending("work/work"))
        return MergedTree(
            root: try mount(layers: layers, directories, changes: changes, stubs: stubs)
        )
    }

    /// The merged root shows the upper directory's own owner, mode, times and attributes, so they must be the lower's.
    public func copyRootMetadata(from layers: [SnapshotID], to pending: PendingSnapshot) throws {
        guard let top = layers.last else {
            try setTimes(of: pending.directory.raw, FileTime(seconds: 0))
            return
        }
        let lower = try layerDirectory(top)
        try copyRootMetadata(from: lower.raw, to: pending)
    }

    func copyRootMetadata(from directory: CInt, to pending: PendingSnapshot) throws {
        let status = try status(of: directory)
        try setOwner(of: pending.directory.raw, uid: status.uid, gid: status.gid)
        try setPermissions(of: pending.directory.raw, status.permissions)
        for name in try extendedAttributeNames(of: directory) where !name.contains("overlay.") {
            guard let value = try extendedAttribute(of: directory, name) else { continue }
            try setExtendedAttribute(of: pending.directory.raw, name, value)
        }
        try setTimes(of: pending.directory.raw, status.modified)
    }

    private func emptyDirectory() throws -> SharedFD {
        let path = root.temporary.appending("empty")
        do { try makeDirectory(path, mode: 0o755) } catch { if error.errno != EEXIST { throw error } }
        return try open(path, [.directory]).shared()
    }

    private func mount(
        layers: [SnapshotID],
        _ directories: [SharedFD],
        changes: PendingSnapshot?,
        stubs: RawPath?
    ) throws -> SharedFD {
        var work: SharedFD?
        if let changes { work = try open(changes.path.appending("work"), [.directory]).shared() }
        // The kernel warns of directories that another mount still changes.
        for layer in layers { counted.withLock { $0.unmounting[layer] }?.finish() }
        let unmounting = changes?.unmounting ?? Unmounting()
        do {
            if usesDetachedMounts {
                var upper: (CInt, CInt)?
                if let changes, let work { upper = (changes.directory.raw, work.raw) }
                return try withExtendedLifetime((directories, changes, work)) {
                    unmounting.watch(
                        try detachedOverlay(lower: directories.map(\.raw), upper: upper, flavour: flavour)
                    )
                }
            }
        } catch let error as SystemError {
            // Kernels before 6.5 refuse layers given one by one; there mount(2) takes them all in one string.
            guard error.errno == EINVAL || error.errno == ENOSYS else { throw mountError(error, layers.count) }
        }
        return unmounting.watch(try mountByName(layers: layers, changes: changes, stubs: stubs))
    }

    private func mountByName(layers: [SnapshotID], changes: PendingSnapshot?, stubs: RawPath?) throws -> OwnedFD {
        let target = try root.makeTemporaryDirectory("mount")
        defer { try? removeDirectory(target) }
        var lower = layers.reversed().map { "\($0)/fs" }
        let last = stubs ?? (layers.count < 2 ? root.temporary.appending("empty") : nil)
        if let last {
            // A link with a short name: the option string is cut at one page, and colons in a path would end it.
            let link = root.temporaryPath("l")
            try makeSymlink(at: workingDirectory, link, target: last)
            lower.append("../tmp/\(root.temporary.lastComponent ?? "")/\(link.lastComponent ?? "")")
        }
        var upper: (String, String)?
        if let changes {
            let base = "../tmp/\(root.temporary.lastComponent ?? "")/\(changes.path.lastComponent ?? "")"
            upper = ("\(base)/fs", "\(base)/work")
        }
        do {
            try mountOverlay(from: snapshotsPath, target: target, lower: lower, upper: upper, flavour: flavour)
        } catch {
            throw mountError(error, layers.count)
        }
        defer { try? detachMount(target) }
        return try cloneMount(target)
    }

    private func mountError(_ error: SystemError, _ count: Int) -> SnapshotError {
        let next: String? =
            switch error.errno {
            case EPERM, EACCES:
                "overlay mounts need root, or user namespaces with overlayfs (Linux 5.13 or later)"
            case ENODEV: "load the kernel module: modprobe overlay"
            case EINVAL, E2BIG:
                "overlayfs takes at most 500 layers, on the kernel's and the root directory's file system; "
                    + "choose a --root that lies on ext4, xfs or btrfs"
            default: nil
            }
        return SnapshotError(.mountFailed, "cannot put \(count) layers together: \(error)", nextStep: next)
    }

    // MARK: Publishing

    public func publish(_ pending: PendingSnapshot) throws -> SnapshotID {
        try publish(pending, archive: nil) { directory in
            try renameFile(pending.directoryPath, to: workingDirectory, directory.appending("fs"))
            return try status(of: pending.directory.raw)
        }
    }

    public func publish(_ pending: PendingSnapshot, packed: PackedLayer) throws -> SnapshotID {
        try publish(pending, archive: packed) { directory in
            try renameFile(pending.directoryPath, to: workingDirectory, directory.appending("root"))
            let archive = directory.appending("layer.tar")
            try renameFile(pending.archivePath, to: workingDirectory, archive)
            return try status(at: workingDirectory, archive)
        }
    }

    /// - Parameter move: moves what was made into the layer's place, and returns what its mark is made of.
    private func publish(
        _ pending: PendingSnapshot,
        archive: PackedLayer?,
        _ move: (RawPath) throws -> FileStatus
    ) throws -> SnapshotID {
        do {
            let id = try database.write { transaction in
                try transaction.execute(
                    "INSERT INTO snapshots (created, used, diff_id, size) VALUES (?, ?, ?, ?)",
                    [
                        .integer(FileTime.now.seconds), .integer(root.useStamp),
                        SQLValue(archive?.diffID.description), SQLValue(archive?.size),
                    ]
                )
                let id = SnapshotID(transaction.lastInsertedID)
                let directory = snapshotsPath.appending("\(id)")
                // A process that died between the rename and its commit may have left this number behind.
                try removeTree(directory)
                try makeDirectory(directory, mode: 0o700)
                let mark = LayerMark(try move(directory), unsettledSince: machineStart)
                try transaction.execute(
                    "UPDATE snapshots SET root = ? WHERE id = ?",
                    [.text(mark.description), .integer(id.rawValue)]
                )
                return id
            }
            pending.discard()
            counted.withLock { counted in
                counted.used.insert(id)
                counted.made += 1
                counted.unsettled.insert(id)
                counted.unmounting[id] = pending.unmounting
                counted.unmounting = counted.unmounting.filter { $0.value.isNeeded }
            }
            return id
        } catch let error as SystemError where error.isDiskFull {
            throw diskFull
        }
    }

    var diskFull: SnapshotError {
        SnapshotError(
            .diskFull,
            "the disk that holds \(root.path) is full",
            nextStep: "free space there, or run: galley prune"
        )
    }

    public func use(_ layers: [SnapshotID]) throws -> Bool {
        if layers.isEmpty { return true }
        var fresh: [SnapshotID] = []
        do {
            return try database.write { transaction in
                let rows = try transaction.query(
                    "SELECT id, root FROM snapshots WHERE id IN (SELECT value FROM json_each(?))",
                    [.list(layers)]
                )
                guard rows.count == Set(layers).count else { return false }
                var unsettled: [SnapshotID] = []
                for row in rows {
                    guard let id = row.integer(0).map(SnapshotID.init), try isPresent(id, row.text(1)) else {
                        return false
                    }
                    if let mark = row.text(1).flatMap(LayerMark.init), !mark.isSettled { unsettled.append(id) }
                }
                // A build goes over the same layers many times: that is one use.
                fresh = counted.withLock { counted in
                    counted.unsettled.formUnion(unsettled)
                    return layers.filter { counted.used.insert($0).inserted }
                }
                try transaction.execute(
                    """
                    UPDATE snapshots SET used = ?1, uses = uses + (id IN (SELECT value FROM json_each(?3)))
                    WHERE id IN (SELECT value FROM json_each(?2))
                    """,
                    [.integer(root.useStamp), .list(layers), .list(fresh)]
                )
                return true
            }
        } catch {
            // What was not committed was not counted.
            counted.withLock { $0.used.subtract(fresh) }
            throw error
        }
    }

    /// Whether the layer's directory or archive is there, all of it, and looks as it did when it was published.
    ///
    /// - Parameter mark: what the store remembers of it; nil of layers of older versions.
    func isPresent(_ id: SnapshotID, _ mark: String?) throws -> Bool {
        guard let mark else { return try form(of: id, nil) != nil }
        guard let mark = LayerMark(mark), let form = try form(of: id, mark) else { return false }
        return mark.fits(form.status) && !mark.mayBeIncomplete(machineStart)
    }
}

extension SQLValue {
    /// For `json_each`: numbers in the text of a statement would make it one that is prepared, and kept, for them alone.
    static func list(_ layers: some Collection<SnapshotID>) -> SQLValue {
        .text("[\(layers.map(\.description).joined(separator: ","))]")
    }
}
