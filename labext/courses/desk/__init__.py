"""What a student asks for in the Courses panel: what is new, differences, versions, undo."""
