// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem

/// The extended attributes of a file in a snapshot: those that belong to the image, and what overlayfs noted.
struct FileAttributes {
    /// In byte order of their names.
    private(set) var kept: [ExtendedAttribute] = []
    private(set) var isOpaque = false
    private(set) var isRedirected = false
    private(set) var isMetadataOnly = false

    /// Labels and signatures that the host's policy puts on files; they would make equal trees differ by host.
    private static let ofTheHost = ["security.selinux", "security.evm", "security.SMACK64"]

    init(of fd: CInt) throws(SystemError) {
        try collect(extendedAttributeNames(of: fd)) { (name) throws(SystemError) in
            try extendedAttribute(of: fd, name)
        }
    }

    /// Of what cannot be opened; a symlink's own.
    init(at directory: CInt, _ name: RawPath) throws(SystemError) {
        try collect(extendedAttributeNames(at: directory, name)) { (key) throws(SystemError) in
            try extendedAttribute(at: directory, name, key)
        }
    }

    private mutating func collect(
        _ names: [String],
        _ value: (String) throws(SystemError) -> [UInt8]?
    ) throws(SystemError) {
        for name in names.sorted(by: { $0.utf8.lexicographicallyPrecedes($1.utf8) }) {
            if let noted = Self.overlayName(name) {
                switch noted {
                case "opaque": isOpaque = try value(name) == [UInt8(ascii: "y")] || isOpaque
                case "redirect": isRedirected = true
                case "metacopy": isMetadataOnly = true
                default: break
                }
            } else if !Self.ofTheHost.contains(where: { name.hasPrefix($0) }), let bytes = try value(name) {
                kept.append(ExtendedAttribute(name: name, value: bytes))
            }
        }
    }

    private static func overlayName(_ name: String) -> Substring? {
        for prefix in ["trusted.overlay.", "user.overlay."] where name.hasPrefix(prefix) {
            return name.dropFirst(prefix.utf8.count)
        }
        return nil
    }
}
