// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// What a token is asked for: `repository:library/alpine:pull` (distribution token specification, "Resource Scope").
struct AuthScope: Hashable, Sendable, CustomStringConvertible {
    private(set) var items: [String: Set<String>] = [:]

    init() {}

    init(repository: String, _ actions: String...) { items = ["repository:\(repository)": Set(actions)] }

    /// Reads a challenge's scope: items separated by spaces, each `type:name:action,action`; names may have colons.
    init(parsing text: String) {
        for item in text.split(separator: " ") {
            guard let last = item.lastIndex(of: ":"), item.contains(":"), last != item.startIndex else { continue }
            let actions = item[item.index(after: last)...].split(separator: ",").map(String.init)
            items[String(item[..<last]), default: []].formUnion(actions)
        }
    }

    func union(_ other: AuthScope) -> AuthScope {
        var joined = self
        joined.items.merge(other.items) { $0.union($1) }
        return joined
    }

    /// One text a resource, sorted, so that equal scopes have equal texts.
    var texts: [String] {
        items.map { "\($0.key):\(Self.ordered($0.value).joined(separator: ","))" }.sorted()
    }

    var description: String { texts.joined(separator: " ") }

    /// `pull` before `push`, as every client writes it and some servers compare it.
    private static func ordered(_ actions: Set<String>) -> [String] { actions.sorted() }
}
