// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem

/// Who a process runs as: numbers, as the kernel wants them.
struct ContainerUser: Hashable, Sendable {
    var uid: UInt32
    var gid: UInt32
    var additionalGroups: [UInt32]
    var home: String

    private struct Account {
        var name: Substring
        var uid: UInt32
        var gid: UInt32
        var home: String
    }

    private struct Group {
        var name: Substring
        var gid: UInt32
        var members: [Substring]
    }

    /// Looks `text` (`user`, `user:group`, names or numbers; empty is root) up in the files of the image.
    init(_ text: String, in root: RootReader) throws {
        let limit = 8 << 20
        func lines(_ path: String) throws -> [Substring] {
            do {
                guard let bytes = try root.regularFile(path, limit: limit) else { return [] }
                return String(decoding: bytes, as: UTF8.self).split(separator: "\n")
            } catch {
                throw ExecutorError(.unknownUser, "cannot read \(path) of the image", cause: error)
            }
        }
        self = try ContainerUser(text, passwd: lines("/etc/passwd"), group: lines("/etc/group"))
    }

    init(_ text: String, passwd: [Substring], group: [Substring]) throws(ExecutorError) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        let userText = parts.first.map(String.init) ?? ""
        let groupText = parts.count > 1 ? String(parts[1]) : ""
        let number = userText.isEmpty ? 0 : try Self.number(userText)
        let account = Self.accounts(passwd).first { account in
            // A name made of digits wins over the number, as in Docker.
            account.name == userText || account.uid == number
        }
        guard let id = account?.uid ?? number else {
            throw ExecutorError(
                .unknownUser,
                "unable to find user \(userText): no matching entries in passwd file",
                nextStep: "create the user in the image first (RUN adduser ...), or use a number"
            )
        }
        uid = id
        gid = account?.gid ?? 0
        home = account.map(\.home).flatMap { $0.isEmpty ? nil : $0 } ?? "/"
        additionalGroups = []
        let groups = Self.groups(group)
        if groupText.isEmpty {
            guard let name = account?.name else { return }
            for group in groups where group.members.contains(name) && !additionalGroups.contains(group.gid) {
                additionalGroups.append(group.gid)
            }
        } else {
            let number = try Self.number(groupText)
            guard let id = groups.first(where: { $0.name == groupText || $0.gid == number })?.gid ?? number else {
                throw ExecutorError(
                    .unknownUser,
                    "unable to find group \(groupText): no matching entries in group file",
                    nextStep: "create the group in the image first (RUN addgroup ...), or use a number"
                )
            }
            gid = id
        }
    }

    private static func number(_ text: String) throws(ExecutorError) -> UInt32? {
        guard let digit = text.utf8.first, (0x30...0x39).contains(digit), let value = Int64(text) else { return nil }
        guard value <= Int64(Int32.max) else {
            throw ExecutorError(.unknownUser, "user and group ids must be in the range 0-2147483647, not \(text)")
        }
        return UInt32(value)
    }

    /// passwd(5): name:password:uid:gid:comment:home:shell. Lines that do not fit are passed over.
    private static func accounts(_ lines: [Substring]) -> [Account] {
        lines.compactMap { line in
            let fields = line.split(separator: ":", omittingEmptySubsequences: false)
            guard fields.count >= 4, !fields[0].isEmpty, let uid = UInt32(fields[2]), let gid = UInt32(fields[3]) else {
                return nil
            }
            return Account(name: fields[0], uid: uid, gid: gid, home: fields.count > 5 ? String(fields[5]) : "")
        }
    }

    /// group(5): name:password:gid:members.
    private static func groups(_ lines: [Substring]) -> [Group] {
        lines.compactMap { line in
            let fields = line.split(separator: ":", omittingEmptySubsequences: false)
            guard fields.count >= 3, !fields[0].isEmpty, let gid = UInt32(fields[2]) else { return nil }
            return Group(name: fields[0], gid: gid, members: fields.count > 3 ? fields[3].split(separator: ",") : [])
        }
    }
}
