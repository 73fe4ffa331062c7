// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import CLinux
import Glibc

/// Which extended attributes overlayfs keeps its marks in.
public enum OverlayFlavour: Sendable, Hashable {
    /// `trusted.overlay.*`: needs root of the machine.
    case trusted
    /// `user.overlay.*`, mount option `userxattr`: inside a user namespace.
    case user

    public var opaqueAttribute: String { self == .trusted ? "trusted.overlay.opaque" : "user.overlay.opaque" }

    /// What this process must use.
    public static var current: OverlayFlavour { isInitialUserNamespace() ? .trusted : .user }
}

/// Mounts layers as one tree, attached nowhere: it is there as long as the descriptor is open, and dies with the process.
///
/// - Parameters:
///   - lower: open layer directories, topmost first.
///   - upper: where changes go, with an empty work directory on the same file system; nil mounts read-only, which takes
///     at least two lower directories.
/// - Throws: `EINVAL` on kernels before 6.5, which cannot take layers one by one; use `mountOverlay(from:)` there.
public func detachedOverlay(
    lower: [CInt],
    upper: (directory: CInt, work: CInt)?,
    flavour: OverlayFlavour
) throws(SystemError) -> OwnedFD {
    let fd = galley_overlay_detached(
        lower,
        lower.count,
        upper?.directory ?? -1,
        upper?.work ?? -1,
        flavour == .user ? 1 : 0,
        1
    )
    guard fd >= 0 else { throw .last("mount overlay") }
    return OwnedFD(owning: fd)
}

/// Mounts an overlay at `target` with mount(2), whose options must fit in one page: paths are relative to `base`.
///
/// Blocks its own thread, whose working directory it changes.
public func mountOverlay(
    from base: RawPath,
    target: RawPath,
    lower: [String],
    upper: (directory: String, work: String)?,
    flavour: OverlayFlavour
) throws(SystemError) {
    var options = "lowerdir=" + lower.joined(separator: ":") + ",index=off,metacopy=off"
    if let upper { options += ",upperdir=\(upper.directory),workdir=\(upper.work),volatile" }
    options += flavour == .user ? ",userxattr" : ",redirect_dir=off"
    guard options.utf8.count < 4096 else {
        throw SystemError(errno: E2BIG, operation: "mount overlay", path: "\(lower.count) layers")
    }
    let text = options
    let thread = SingleUseThread {
        let result = base.withCString { base in
            target.withCString { galley_overlay_mount_from(base, $0, text, upper == nil ? 1 : 0) }
        }
        return result == 0 ? 0 : errno
    }
    let number = thread.join()
    guard number == 0 else { throw SystemError(errno: number, operation: "mount overlay", path: target.description) }
}

/// A copy of the mount at `path` that is attached nowhere.
public func cloneMount(_ path: RawPath) throws(SystemError) -> OwnedFD {
    let fd = path.withCString { galley_clone_mount($0) }
    guard fd >= 0 else { throw .last("open_tree", path.description) }
    return OwnedFD(owning: fd)
}

/// Takes a mount away from the tree at once; what still uses it keeps it until it closes.
// 2 is MNT_DETACH.
public func detachMount(_ target: RawPath) throws(SystemError) {
    guard target.withCString({ umount2($0, 2) }) == 0 else {
        throw .last("umount", target.description)
    }
}
