// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting

/// Two independent stages whose commands wait for each other: the build ends only if they run at the same time, however
/// late the second begins.
enum Meeting {
    static func stages() -> String {
        let place = newMarker()
        func stage(_ name: String, _ other: String) -> String {
            """
            FROM alpine:latest AS \(name)
            RUN --mount=type=cache,id=\(place),target=/met touch /met/\(name); \
                until test -e /met/\(other); do sleep 0.05; done; echo \(name) > /\(name)

            """
        }
        return stage("one", "two") + stage("two", "one")
            + "FROM scratch\nCOPY --from=one /one /\nCOPY --from=two /two /\n"
    }

    /// Whether the spans told of both commands overlap.
    static func isHeld(_ progress: ProgressRecord) throws -> Bool {
        try progress.step("echo one").overlaps(progress.step("echo two"))
    }
}
