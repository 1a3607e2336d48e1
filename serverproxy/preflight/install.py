"""What to type or where to look, by distribution. Pure."""

from __future__ import annotations

from collections.abc import Collection


def install_openrefine(distribution: Collection[str]) -> str:
    """How to install OpenRefine: a package in Debian 12, Ubuntu 24.04 and later, else the kit."""
    if {"debian", "ubuntu"} & set(distribution):
        return "Ask the administrator of this image to run: apt-get install openrefine"
    return (
        "Ask the administrator of this image to unpack the Linux kit from openrefine.org/download "
        "and to set SAMEPAGE_OPENREFINE_HOME to its folder."
    )


def install_java(distribution: Collection[str], least: int) -> str:
    """How to install a Java that is at least that version."""
    names = set(distribution)
    if {"debian", "ubuntu"} & names and least <= 17:  # what the default is since Debian 12
        return "Ask the administrator of this image to run: apt-get install default-jre-headless"
    if {"fedora", "rhel", "centos"} & names:
        package = f"java-{max(least, 21)}-openjdk-headless"
        return f"Ask the administrator of this image to run: dnf install {package}"
    return f"Ask the administrator of this image to install Java {least} or later (adoptium.net)."


def install_r(distribution: Collection[str]) -> str:
    """How to install R."""
    names = set(distribution)
    if {"debian", "ubuntu"} & names:
        return "Ask the administrator of this image to run: apt-get install r-base-core"
    if {"fedora", "rhel", "centos"} & names:
        return "Ask the administrator of this image to run: dnf install R-core"
    return "Ask the administrator of this image to install R (cran.r-project.org)."


def install_rstudio(distribution: Collection[str]) -> str:
    """How to install RStudio Server, which no distribution carries."""
    del distribution
    return (
        "Ask the administrator of this image to install RStudio Server from "
        "posit.co/download/rstudio-server, or to set SAMEPAGE_RSTUDIO_RSERVER to the path of "
        "rserver."
    )
