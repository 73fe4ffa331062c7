// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import PackageDescription

/// Settings of every Swift target: docs/architecture.md says why each is on.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .treatAllWarnings(as: .error),
]

func module(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name + "Tests", dependencies: dependencies, swiftSettings: strict)
}

let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let httpClient = Target.Dependency.product(name: "AsyncHTTPClient", package: "async-http-client")
let systemPackage = Target.Dependency.product(name: "SystemPackage", package: "swift-system")
let subprocess = Target.Dependency.product(name: "Subprocess", package: "swift-subprocess")
let toml = Target.Dependency.product(name: "TOMLKit", package: "TOMLKit")
let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let nioHTTP1 = Target.Dependency.product(name: "NIOHTTP1", package: "swift-nio")
let nioSSL = Target.Dependency.product(name: "NIOSSL", package: "swift-nio-ssl")

let package = Package(
    name: "galley",
    products: [
        .executable(name: "galley", targets: ["galley"]),
        .library(name: "DockerfileSyntax", targets: ["DockerfileSyntax"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-crypto", "3.12.3"..<"5.0.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2"),
        .package(url: "https://github.com/LebJe/TOMLKit", from: "0.6.0"),
    ],
    targets: [
        // L0
        .target(name: "CLinux"),
        .systemLibrary(name: "CDeflate", pkgConfig: "libdeflate", providers: [.apt(["libdeflate-dev"])]),
        .systemLibrary(name: "CISAL", pkgConfig: "libisal", providers: [.apt(["libisal-dev"])]),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        .systemLibrary(name: "CLZMA", pkgConfig: "liblzma", providers: [.apt(["liblzma-dev"])]),
        // bzip2 has no pkg-config file.
        .systemLibrary(name: "CBzip2", providers: [.apt(["libbz2-dev"])]),
        .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
        module("LinuxSystem", ["CLinux"]),
        module("OCI", [crypto]),
        module("DockerfileSyntax"),
        // L1
        module("Archive", ["OCI", "LinuxSystem", "CDeflate", "CISAL", "CZstd", "CLZMA", "CBzip2"]),
        module("Content", ["OCI", "LinuxSystem", "CSQLite"]),
        module(
            "Registry",
            [
                "OCI", "LinuxSystem", httpClient, subprocess, systemPackage, nioCore, nioPosix, nioHTTP1, nioSSL,
            ]
        ),
        module("Executor", ["OCI", "LinuxSystem"]),
        module("Solver", ["OCI"]),
        // L2
        module("Snapshots", ["OCI", "LinuxSystem", "Archive", "Content"]),
        module("BuildDefinition", ["OCI", "Solver"]),
        module("DockerfileFrontend", ["OCI", "DockerfileSyntax", "BuildDefinition", "Solver"]),
        // L3
        module("BuildCache", ["OCI", "LinuxSystem", "Content", "Solver", "BuildDefinition"]),
        module(
            "BuildOps",
            [
                "OCI", "LinuxSystem", "Archive", "Content", "Executor", "Solver", "Snapshots", "BuildDefinition",
                "DockerfileSyntax", "BuildCache",
            ]
        ),
        module(
            "Exporters",
            ["OCI", "LinuxSystem", "DockerfileSyntax", "Archive", "Content", "Snapshots", "Solver"]
        ),
        module("DockerfileLint", ["OCI", "DockerfileSyntax"]),
        // L4
        module(
            "Builder",
            [
                "OCI", "LinuxSystem", "Archive", "Content", "Registry", "Executor", "Solver", "Snapshots",
                "BuildDefinition", "DockerfileSyntax", "DockerfileFrontend", "DockerfileLint", "BuildCache", "BuildOps",
                "Exporters",
                toml,
            ]
        ),
        // L5
        module("ProgressUI", ["OCI", "LinuxSystem", "Solver"]),
        // L6
        .target(name: "CGalleyEntry", dependencies: ["CLinux"]),
        .executableTarget(
            name: "galley",
            dependencies: [
                "CGalleyEntry", "OCI", "LinuxSystem", "Solver", "BuildDefinition", "DockerfileFrontend",
                "DockerfileLint", "Builder",
                "ProgressUI", argumentParser,
            ],
            swiftSettings: strict
        ),
        // Benchmarks
        .target(name: "AllocationCount", path: "Benchmarks/Micro/AllocationCount"),
        .executableTarget(
            name: "MicroBenchmarks",
            dependencies: [
                "AllocationCount", "OCI", "LinuxSystem", "DockerfileSyntax", "Archive", "Content", "Executor", "Solver",
                "Snapshots", "BuildDefinition", "DockerfileFrontend", "BuildCache", "BuildOps",
            ],
            path: "Benchmarks/Micro/MicroBenchmarks",
            swiftSettings: strict
        ),
        // Tests
        .target(
            name: "GalleyTesting",
            dependencies: ["OCI", "LinuxSystem", "Archive"],
            path: "Tests/GalleyTesting",
            swiftSettings: strict
        ),
        tests("LinuxSystem", ["LinuxSystem"]),
        tests("OCI", ["OCI"]),
        tests("Solver", ["Solver", "OCI"]),
        tests("DockerfileSyntax", ["DockerfileSyntax"]),
        tests("Archive", ["Archive", "OCI", "LinuxSystem"]),
        tests("Content", ["Content", "OCI", "LinuxSystem", "GalleyTesting"]),
        tests("Registry", ["Registry", "OCI", subprocess, nioCore, nioPosix, nioHTTP1]),
        tests("Executor", ["Executor", "OCI", "LinuxSystem"]),
        tests("Snapshots", ["Snapshots", "OCI", "LinuxSystem", "Archive", "Content", "GalleyTesting"]),
        tests(
            "BuildCache",
            ["BuildCache", "BuildDefinition", "Content", "Solver", "OCI", "LinuxSystem", "GalleyTesting"]
        ),
        tests(
            "BuildOps",
            [
                "BuildOps", "BuildCache", "BuildDefinition", "Content", "Snapshots", "Archive", "Executor", "Solver",
                "OCI", "LinuxSystem", "DockerfileSyntax", "GalleyTesting",
            ]
        ),
        tests("BuildDefinition", ["BuildDefinition", "OCI"]),
        tests("DockerfileFrontend", ["DockerfileFrontend", "DockerfileSyntax", "BuildDefinition", "OCI", "Solver"]),
        tests("DockerfileLint", ["DockerfileLint", "DockerfileSyntax", "OCI"]),
        tests("Exporters", ["Exporters", "OCI", "LinuxSystem", "Archive", "Content", "Snapshots", "GalleyTesting"]),
        tests(
            "Builder",
            [
                "Builder", "BuildCache", "BuildOps", "Content", "OCI", "LinuxSystem", "Snapshots", "Solver",
                "GalleyTesting",
            ]
        ),
        tests("ProgressUI", ["ProgressUI", "LinuxSystem", "Solver", "OCI"]),
        tests("EndToEnd", ["GalleyTesting", "OCI", "LinuxSystem"]),
        tests(
            "galley",
            [
                "galley", "CGalleyEntry", "OCI", "LinuxSystem", "Solver", "BuildDefinition", "DockerfileFrontend",
                "Builder",
                "ProgressUI", argumentParser,
            ]
        ),
    ]
)
