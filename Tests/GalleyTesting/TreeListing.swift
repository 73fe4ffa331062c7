// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import LinuxSystem

/// What `listTree` tells of each file beyond name, kind and content.
public struct ListedFacts: OptionSet, Sendable {
    public let rawValue: Int
    public init(rawValue: Int) { self.rawValue = rawValue }

    public static let owners = ListedFacts(rawValue: 1)
    public static let modes = ListedFacts(rawValue: 2)
    public static let times = ListedFacts(rawValue: 4)
    public static let attributes = ListedFacts(rawValue: 8)
    public static let all: ListedFacts = [.owners, .modes, .times, .attributes]
}

/// One line a file, in byte order of the paths: `path kind facts -> target or content`. Files of over 64 bytes are told
/// by their size.
public func listTree(_ directory: SharedFD, _ facts: ListedFacts = []) throws -> [String] {
    var lines: [String] = []
    var first: [UInt64: RawPath] = [:]
    func visit(_ parent: CInt, _ path: RawPath) throws {
        for entry in try readDirectory(parent).sorted(by: { $0.name < $1.name }) {
            let child = path.appending(entry.name)
            let status = try status(at: parent, entry.name)
            var line = "\(child) \(status.isWhiteout ? "whiteout" : "\(status.kind)")"
            if facts.contains(.modes) { line += " \(String(status.permissions, radix: 8))" }
            if facts.contains(.owners) { line += " \(status.uid):\(status.gid)" }
            if facts.contains(.times) { line += " \(status.modified.seconds).\(status.modified.nanoseconds)" }
            if facts.contains(.attributes) {
                for name in try extendedAttributeNames(at: parent, entry.name).sorted() {
                    let value = try extendedAttribute(at: parent, entry.name, name) ?? []
                    line += " \(name)=\(String(decoding: value, as: UTF8.self))"
                }
            }
            if status.kind != .directory, status.links > 1 {
                if let other = first[status.inode] { line += " = \(other)" } else { first[status.inode] = child }
            }
            switch status.kind {
            case .symlink: line += " -> \(try readLink(at: parent, entry.name))"
            case .regular where status.size > 64: line += " \(status.size) bytes"
            case .regular: line += " \"\(String(decoding: try readFile(at: parent, entry.name), as: UTF8.self))\""
            case .characterDevice where !status.isWhiteout, .blockDevice:
                line += " \(status.deviceMajor)/\(status.deviceMinor)"
            default: break
            }
            lines.append(line)
            if status.kind == .directory {
                let fd = try open(at: parent, entry.name, [.directory, .noFollow])
                try visit(fd.raw, child)
            }
        }
    }
    // A merged tree's root only names the directory.
    let root = try open(at: directory.raw, ".", [.directory])
    try visit(root.raw, RawPath(""))
    return lines
}
