// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import CLinux
import Glibc

/// How the process stands after entering its namespaces at start.
public struct ProcessNamespaces: Sendable {
    /// Why mounting and running is not possible here, with what to do; nil when it is.
    public let failure: EntryFailure?
    /// True inside a user namespace, whoever made it: devices cannot be made, overlay keeps its marks in `user.*`.
    public let isRootless: Bool
    /// The user who started the process.
    public let outerUID: UInt32
    public let outerGID: UInt32
    /// False when the process never tried (commands that mount nothing, tests).
    public let entered: Bool

    /// Whether the process was started by root, whatever it is now.
    public var startedByRoot: Bool { entered ? outerUID == 0 : geteuid() == 0 }

    /// The state that the constructor function left.
    public static var current: ProcessNamespaces {
        guard let state = galley_entry()?.pointee else { preconditionFailure("galley_entry never returns null") }
        let attempted = state.failure != Int32(bitPattern: GALLEY_ENTRY_NOT_ATTEMPTED.rawValue)
        let failed = attempted && state.failure != Int32(bitPattern: GALLEY_ENTRY_OK.rawValue)
        return ProcessNamespaces(
            failure: failed ? EntryFailure(state) : nil,
            isRootless: attempted ? state.rootless != 0 : !isInitialUserNamespace(),
            outerUID: state.outer_uid,
            outerGID: state.outer_gid,
            entered: attempted && !failed
        )
    }
}

/// Why the namespaces could not be entered.
public struct EntryFailure: Error, Sendable, CustomStringConvertible {
    public let message: String
    /// What the user can do about it.
    public let nextStep: String

    init(_ state: galley_entry_state) {
        var copy = state.detail
        let detail = withUnsafeBytes(of: &copy) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        let cause = SystemError(errno: state.error_number, operation: detail)
        let user = detail.isEmpty ? "this user" : "user \(detail)"
        switch galley_entry_failure(rawValue: UInt32(bitPattern: state.failure)) {
        case GALLEY_ENTRY_NO_SUBORDINATE_UIDS:
            message = "\(user) has no subordinate user ids in /etc/subuid"
            nextStep = "as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 \(detail)"
        case GALLEY_ENTRY_NO_SUBORDINATE_GIDS:
            message = "\(user) has no subordinate group ids in /etc/subgid"
            nextStep = "as root: usermod --add-subgids 100000-165535 \(detail)"
        case GALLEY_ENTRY_NO_NEWUIDMAP, GALLEY_ENTRY_NO_NEWGIDMAP:
            message = "\(detail) is not installed, so an ordinary user's ids cannot be mapped"
            nextStep = "as root: apt-get install uidmap (on Fedora: shadow-utils)"
        case GALLEY_ENTRY_MAPPING_FAILED:
            message = "\(detail) refused to map the ids of /etc/subuid and /etc/subgid"
            nextStep = "check that \(detail) is set-user-id root and that the ranges in both files are valid"
        default:
            message = "cannot make the namespaces that a build needs: \(cause)"
            nextStep =
                state.outer_uid == 0
                ? "run Galley with CAP_SYS_ADMIN, or as an ordinary user with subordinate ids"
                : "allow unprivileged user namespaces: sysctl kernel.unprivileged_userns_clone=1, "
                    + "user.max_user_namespaces > 0, and no AppArmor restriction on them"
        }
    }

    public var description: String { "\(message)\n\(nextStep)" }
}

/// Whether ids here are the machine's own (user_namespaces(7): the initial namespace maps all of them to themselves).
public func isInitialUserNamespace() -> Bool {
    guard let bytes = try? readFile("/proc/self/uid_map", limit: 4096) else { return true }
    let words = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isWhitespace)
    return words == ["0", "0", "4294967295"]
}
