// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import LinuxSystem

/// Unpacks a layer's tar into an empty directory in overlayfs's own format, without seeing the layers below.
///
/// `.wh.name` becomes a whiteout and `.wh..wh..opq` an opaque directory. Entry names are relative to the directory,
/// absolute ones too; one with `..` is an error that names it. Parents that are symlinks made by the same layer are
/// followed inside the directory. AUFS's own files (`.wh..wh.*`) are left out and reported.
/// After an error the directory holds a part of the layer and should be removed.
public final class LayerUnpacker {
    private var reader = TarReader()
    private var visitor: ChangeVisitor

    /// `directory` stays the caller's and must stay open.
    public init(
        into directory: CInt,
        overlay: OverlayFlavour = .trusted,
        devices: DevicePolicy = .create
    ) {
        let sink = DirectoryChangeSink(
            directory,
            options: DirectoryChangeSink.Options(overlay: overlay, devices: devices)
        )
        visitor = ChangeVisitor(sink: sink, interpretsWhiteouts: true)
    }

    /// Unpacks the next bytes of the uncompressed tar.
    public func write(_ bytes: UnsafeRawBufferPointer) throws { try reader.push(bytes, to: &visitor) }

    /// Sets directories' times and returns what was unpacked.
    public func finish() throws -> UnpackResult {
        try reader.finish()
        return try visitor.finish()
    }
}

/// Unpacks an archive that is not a layer into a directory that may hold files already: `ADD archive.tar /`, or a saved
/// image. Names beginning with `.wh.` are ordinary, as in Docker's ADD. Otherwise as `LayerUnpacker`.
public final class ArchiveExtractor {
    private var reader = TarReader()
    private var visitor: ChangeVisitor

    /// - Parameter owner: of every entry, in place of what the archive says.
    public init(
        into directory: CInt,
        owner: (uid: UInt32, gid: UInt32)? = nil,
        devices: DevicePolicy = .create
    ) {
        let sink = DirectoryChangeSink(
            directory,
            options: DirectoryChangeSink.Options(
                overlay: nil,
                devices: devices,
                owner: owner,
                notesTouchedDirectories: true
            )
        )
        visitor = ChangeVisitor(sink: sink, interpretsWhiteouts: false)
    }

    /// Unpacks the next bytes of the uncompressed tar.
    public func write(_ bytes: UnsafeRawBufferPointer) throws { try reader.push(bytes, to: &visitor) }

    /// Sets directories' times and returns what was unpacked. A hard link to nothing is an error here.
    public func finish() throws -> UnpackResult {
        try reader.finish()
        let result = try visitor.finish()
        if let pending = result.pendingHardLinks.first {
            throw ArchiveError(
                .conflict,
                "\"\(pending.path)\" is a hard link to \"\(pending.target)\", which the archive does not have"
            )
        }
        return result
    }
}
