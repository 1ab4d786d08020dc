"""Codes keep to the lengths DICOM allows, and every flag and grade has one."""

from __future__ import annotations

from pydicom.sr.coding import Code

from triaged.records import Flag, Grade
from triaged.results import codes


def every_code() -> list[Code]:
    named = [value for value in vars(codes).values() if isinstance(value, Code)]
    return [*named, *codes.GRADES.values(), *codes.FLAGS.values()]


def test_codes_fit_their_value_representations() -> None:
    assert len(every_code()) > 40
    for code in every_code():
        assert 0 < len(code.value) <= 16, code
        assert 0 < len(code.scheme_designator) <= 16, code
        assert 0 < len(code.meaning) <= 64, code


def test_no_value_stands_for_two_meanings() -> None:
    values = [(code.scheme_designator, code.value) for code in every_code()]
    meanings = {(code.scheme_designator, code.value): code.meaning for code in every_code()}
    assert all(meanings[key] == code.meaning for key, code in zip(values, every_code(), strict=True))
    private = [code.value for code in codes.PRIVATE]
    assert len(private) == len(set(private))
    assert all(code.scheme_designator == codes.SCHEME for code in codes.PRIVATE)


def test_every_flag_and_grade_has_its_code() -> None:
    assert set(codes.FLAGS) == set(Flag)
    assert set(codes.GRADES) == set(Grade)
    assert all(codes.GRADES[grade].meaning == grade.value for grade in Grade)


def test_the_private_scheme_is_identified() -> None:
    (item,) = codes.scheme_identification()
    assert item.CodingSchemeDesignator == "99TRIAGED"
    assert item.CodingSchemeUID.is_valid
    assert item.CodingSchemeResponsibleOrganization
