// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import LinuxSystem
import OCI

// Extended attributes that a copy of a file or directory keeps, and its key therefore knows.

/// In byte order: not what belongs to the host or to overlayfs.
private func copiedAttributeNames(of fd: CInt) throws(SystemError) -> [String] {
    try extendedAttributeNames(of: fd).filter { name in
        !(name.hasPrefix("trusted.overlay.") || name.hasPrefix("user.overlay.") || name == "security.selinux"
            || name == "security.ima" || name == "security.evm" || name.hasPrefix("security.SMACK64")
            || name.hasPrefix("system.posix_acl_"))
    }.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
}

/// Where the file system or the kernel refuses one that is not about capabilities, it is left out.
func copyExtendedAttributes(from source: CInt, to target: CInt) throws {
    for name in try copiedAttributeNames(of: source) {
        guard let value = try extendedAttribute(of: source, name) else { continue }
        do throws(SystemError) {
            try setExtendedAttribute(of: target, name, value)
        } catch {
            guard error.isAttributeRefusal, name != "security.capability" else { throw error }
        }
    }
}

/// The attributes, in the order in which an archive has them.
func copiedAttributes(of fd: CInt) throws(SystemError) -> [ExtendedAttribute] {
    var attributes: [ExtendedAttribute] = []
    for name in try copiedAttributeNames(of: fd) {
        if let value = try extendedAttribute(of: fd, name) {
            attributes.append(ExtendedAttribute(name: name, value: value))
        }
    }
    return attributes
}

/// The digest of the attributes; nil when there are none.
func attributesDigest(of fd: CInt) throws(SystemError) -> Digest? {
    let names = try copiedAttributeNames(of: fd)
    if names.isEmpty { return nil }
    var hasher = Digest.Hasher()
    for name in names {
        let value = try extendedAttribute(of: fd, name) ?? []
        hasher.update("\(name)=\(value.count):")
        hasher.update(value)
    }
    return hasher.finalize()
}
