// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
import LinuxSystem
import Testing

@testable import Executor

private let ordinaryUser = getenv("GALLEY_TEST_USER").map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }

/// The container tests again, by a copy of this program run as an ordinary user: `GALLEY_TEST_USER` names one who has
/// subordinate ids.
@Suite(.enabled(if: TestContainer.isMachineRoot && ordinaryUser != nil), .timeLimit(.minutes(3)))
struct RootlessTests {
    @Test func everythingWorksAsAnOrdinaryUser() async throws {
        let user = try #require(ordinaryUser)
        let directory = try TestContainer.temporaryDirectory()
        defer { try? removeTree(directory) }
        try setPermissions(at: workingDirectory, directory, 0o755)
        // The checkout may be where only root can read.
        let program = directory.appending("tests").description
        try replaceFile(RawPath(program), readFile(RawPath("/proc/self/exe"), limit: 1 << 31), mode: 0o755)
        let path = directory.appending("output")
        let output = try open(path, [.readWrite, .create]).shared()
        let spec = SandboxSpec(
            arguments: [
                "/usr/bin/setpriv", "--reuid=\(user)", "--regid=\(user)", "--clear-groups",
                "/usr/bin/unshare", "--user", "--map-auto", "--map-root-user", "--mount",
                program, "--testing-library", "swift-testing", "--filter",
                "ContainerTests|LifeCycleTests|OverlayRootTests",
            ],
            environment: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
            standardInput: try open("/dev/null", .readOnly).shared(),
            standardOutput: output,
            standardError: output
        )
        let end = try await Sandbox.spawn(spec).wait()
        let text = String(decoding: try readFile(path), as: UTF8.self)
        #expect(end == .ended(program: .exited(0), process: nil), "\(text)")
        #expect(!text.contains("skipped"))
    }
}
