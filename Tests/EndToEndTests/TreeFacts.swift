// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem
import OCI

/// Facts of every file of a tree, without times: kind, mode, owner, attributes, target or content.
func treeFacts(_ root: RawPath) throws -> [String: String] {
    var facts: [String: String] = [:]
    var first: [UInt64: RawPath] = [:]
    func visit(_ parent: CInt, _ path: RawPath) throws {
        for entry in try readDirectory(parent).sorted(by: { $0.name < $1.name }) {
            let child = path.appending(entry.name)
            let status = try status(at: parent, entry.name)
            var line = "\(status.kind) \(String(status.permissions, radix: 8)) \(status.uid):\(status.gid)"
            for name in try extendedAttributeNames(at: parent, entry.name).sorted() {
                line += " \(name)=\(try extendedAttribute(at: parent, entry.name, name) ?? [])"
            }
            if status.kind == .regular, status.links > 1 {
                if let other = first[status.inode] { line += " = \(other)" } else { first[status.inode] = child }
            }
            switch status.kind {
            case .symlink: line += " -> \(try readLink(at: parent, entry.name))"
            case .regular: line += " \(Digest.sha256(try readFile(at: parent, entry.name)).hex.prefix(16))"
            case .characterDevice, .blockDevice: line += " \(status.deviceMajor)/\(status.deviceMinor)"
            default: break
            }
            facts["/\(child)"] = line
            if status.kind == .directory {
                let fd = try open(at: parent, entry.name, [.directory, .noFollow])
                try visit(fd.raw, child)
            }
        }
    }
    let directory = try open(root, [.directory])
    try visit(directory.raw, RawPath(""))
    return facts
}

/// What the two sides have under one name.
struct Difference: CustomStringConvertible {
    let name: String
    let galley: String?
    let other: String?

    var description: String { "\(name)\n    galley:  \(galley ?? "-")\n    buildah: \(other ?? "-")" }

    static func all(_ galley: [String: String], _ other: [String: String]) -> [Difference] {
        Set(galley.keys).union(other.keys).sorted().compactMap { name in
            galley[name] == other[name] ? nil : Difference(name: name, galley: galley[name], other: other[name])
        }
    }
}
