// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem

/// Follows symlinks the way the kernel does, with a given directory as the root that nothing leads out of.
///
/// - Parameters:
///   - path: absolute or relative, both from the root.
///   - link: the target of the symlink at a path (all components before the last resolved), nil when it is none.
/// - Returns: the path without symlinks; what does not exist is taken as it is.
func resolveLinks(_ path: RawPath, followingLast: Bool = true, link: (RawPath) throws -> RawPath?) throws -> RawPath {
    var resolved: [RawPath] = []
    var pending = Array(path.components.reversed())
    var followed = 0
    while let component = pending.popLast() {
        if component.bytes == [0x2e, 0x2e] {
            _ = resolved.popLast()
            continue
        }
        let candidate = (resolved + [component]).reduce(RawPath("")) { $0.appending($1) }
        guard followingLast || !pending.isEmpty, let target = try link(candidate) else {
            resolved.append(component)
            continue
        }
        followed += 1
        guard followed <= 255 else {
            throw BuildOpsError(.conflict, "\"\(path)\": too many levels of symbolic links")
        }
        if target.bytes.first == UInt8(ascii: "/") { resolved = [] }
        pending += target.components.reversed()
    }
    return resolved.reduce(RawPath("")) { $0.appending($1) }
}
